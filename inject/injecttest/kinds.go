package injecttest

// Each of these returns options with which a [Server] behaves as another program does, as far as a client that presents
// clients meets it. What the programs themselves do was tried; Postfix before 2.3 is known by its documentation alone.

// Dovecot is its LMTP server of version 2.3 on a TCP port.
func Dovecot() Options {
	return Options{Hostname: "lmtp.example.org", LMTP: true, XCLIENT: []string{"ADDR", "PORT", "PROTO", "HELO", "LOGIN", "SESSION", "TTL", "TIMEOUT"},
		KeepsUnavailable: true, Without: []string{"SMTPUTF8", "DSN", "SIZE"}, Queued: "250 2.0.0 <user> %s Saved"}
}

// Haraka is version 3.3 with its plugin xclient: it takes XCLIENT from 127.0.0.1 alone, and so once in each session.
func Haraka() Options {
	return Options{XCLIENT: []string{"NAME", "ADDR", "PROTO", "HELO", "LOGIN"}, Once: true, NeedsAddr: true,
		Without: []string{"DSN", "CHUNKING", "ENHANCEDSTATUSCODES"}, SizeLimit: 26214400, Queued: "250 Message Queued (%s)"}
}

// Exim is version 4.96 with hosts_proxy.
func Exim() Options {
	return Options{XCLIENT: []string{}, PROXY: true, Without: []string{"DSN", "ENHANCEDSTATUSCODES"}, SizeLimit: 52428800, Queued: "250 OK id=%s"}
}

// Postfix22 is Postfix before version 2.3.
func Postfix22() Options {
	return Options{XCLIENT: []string{"NAME", "ADDR", "PROTO", "HELO"}, Before23: true,
		Without: []string{"SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES"}, Queued: "250 Ok: queued as %s"}
}
