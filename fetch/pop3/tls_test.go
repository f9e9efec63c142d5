package pop3_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
)

// spied starts a server that records the commands it gets.
func spied(t *testing.T, server *fakeserver.POP3) (addr string, verbs func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	server.Store, server.User, server.Password = fakeserver.NewStore(), user, password
	server.Reply = func(verb, _ string) (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, verb)
		return "", false
	}
	return fetchtest.Listen(t, server.Serve).Addr(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

func wantNoCredentials(t *testing.T, verbs []string) {
	t.Helper()
	for _, verb := range verbs {
		switch verb {
		case "USER", "PASS", "AUTH", "APOP":
			t.Errorf("the server got %s; all it got: %v", verb, verbs)
		}
	}
}

func TestCertificates(t *testing.T) {
	// Over implicit TLS and STLS: the exact reason, and no credentials.
	ours, theirs := fakeserver.NewCA(), fakeserver.NewCA()
	now := time.Now()
	for name, test := range map[string]struct {
		certificate tls.Certificate
		words       string
	}{
		"good":                         {ours.Issue(fakeserver.Leaf{}), ""},
		"expired":                      {ours.Issue(fakeserver.Leaf{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}), "expired"},
		"not yet valid":                {ours.Issue(fakeserver.Leaf{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}), "not yet valid"},
		"wrong host":                   {ours.Issue(fakeserver.Leaf{Names: []string{"mail.example.net"}}), "mail.example.net, not localhost"},
		"control characters in a name": {ours.Issue(fakeserver.Leaf{Names: []string{"a\n\x1b[2J.example.net"}}), "for a??[2J.example.net, not localhost"},
		"NUL in name":                  {ours.Issue(fakeserver.Leaf{Names: []string{"localhost\x00.example.net"}}), "not localhost"},
		"NUL behind the name":          {ours.Issue(fakeserver.Leaf{Names: []string{"localhost\x00"}}), "not localhost"},
		"wildcard for every name":      {ours.Issue(fakeserver.Leaf{Names: []string{"*"}}), "not localhost"},
		"wildcard within a label":      {ours.Issue(fakeserver.Leaf{Names: []string{"local*"}}), "not localhost"},
		"IDN that looks like it":       {ours.Issue(fakeserver.Leaf{Names: []string{"xn--lcalhost-hog"}}), "not localhost"},
		"self-signed":                  {fakeserver.SelfSigned(fakeserver.Leaf{}), "unknown authority"},
		"unknown CA":                   {theirs.Issue(fakeserver.Leaf{}), "authority is not trusted here"},
	} {
		for _, implicit := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", implicit", false: ", STLS"}[implicit], func(t *testing.T) {
				server := &fakeserver.POP3{Implicit: implicit, TLS: &tls.Config{Certificates: []tls.Certificate{test.certificate}}}
				addr, verbs := spied(t, server)
				config := &tls.Config{RootCAs: ours.Pool(), ServerName: "localhost"}
				opts := plaintext()
				opts.Credentials.AllowPlaintext = false
				conn := fetchtest.Dial(t, addr)
				if implicit {
					conn, opts.Secure = tls.Client(conn, config), true
				} else {
					opts.StartTLS, opts.TLS = true, config
				}
				client, err := pop3.New(t.Context(), conn, opts)
				if test.words == "" {
					if err != nil {
						t.Fatal(err)
					}
					client.Abort()
					return
				}
				wantKind(t, err, fetch.TLS, test.words)
				wantNoCredentials(t, verbs())
			})
		}
	}
}

func TestSTLSRefused(t *testing.T) {
	_, config := fakeserver.TLS()
	const capa = "S: +OK ready\nC: CAPA\nS= \"+OK\\r\\nUSER\\r\\nSTLS\\r\\n.\\r\\n\"\nC: STLS\n"
	for name, test := range map[string]struct {
		script string
		kind   fetch.Kind
		words  string
	}{
		"STLS not announced":         {"S: +OK\nC: CAPA\nS= \"+OK\\r\\nUSER\\r\\n.\\r\\n\"\nhangup", fetch.TLS, "does not offer it"},
		"STLS refused":               {capa + "S: -ERR not now\nhangup", fetch.TLS, "not now"},
		"no CAPA, STLS refused":      {"S: +OK\nC: CAPA\nS: -ERR\nC: STLS\nS: -ERR what?\nhangup", fetch.TLS, "what?"},
		"continuation for a reply":   {capa + "S: + \nhangup", fetch.Protocol, "not a reply"},
		"reply of SMTP":              {capa + "S: 454 TLS not available\nhangup", fetch.Protocol, "454"},
		"closed after STLS":          {capa + "close", fetch.Unreachable, "STLS"},
		"plaintext behind the reply": {capa + "S= \"+OK\\r\\n+OK injected\\r\\n\"\nsilence", fetch.TLS, "plaintext after the reply"},
		"no TLS after it":            {capa + "S: +OK begin\nclose", fetch.Unreachable, "TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := plaintext()
			opts.StartTLS, opts.TLS = true, config
			_, err := pop3.New(t.Context(), fetchtest.Play(t, test.script), opts)
			wantKind(t, err, test.kind, test.words)
		})
	}
}

func TestResponseInjection(t *testing.T) {
	// A real handshake waiting behind the injected octets.
	serverTLS, config := fakeserver.TLS()
	addr, verbs := spied(t, &fakeserver.POP3{TLS: serverTLS, AfterSTLS: "+OK\r\nUSER\r\n.\r\n"})
	opts := plaintext()
	opts.StartTLS, opts.TLS = true, config
	_, err := pop3.New(t.Context(), fetchtest.Dial(t, addr), opts)
	wantKind(t, err, fetch.TLS, "tampering")
	wantNoCredentials(t, verbs())
}

func TestNoTLSNoCredentials(t *testing.T) {
	// Whatever the mechanism, nothing is sent in plaintext unasked.
	for _, mechanism := range []string{"", "PLAIN", "USER", "APOP", "SCRAM-SHA-256", "CRAM-MD5"} {
		addr, verbs := spied(t, &fakeserver.POP3{Capabilities: []string{"SASL PLAIN SCRAM-SHA-256 CRAM-MD5"}})
		opts := plaintext()
		opts.Credentials.AllowPlaintext = false
		opts.Credentials.Mechanism = sasl.Mechanism(mechanism)
		_, err := pop3.New(t.Context(), fetchtest.Dial(t, addr), opts)
		wantKind(t, err, fetch.TLS, "not encrypted")
		wantNoCredentials(t, verbs())
	}
}

func TestCapabilitiesBeforeTLS(t *testing.T) {
	// What was announced before TLS is forgotten, even if
	// nothing is announced under it.
	serverTLS, config := fakeserver.TLS()
	for _, underTLS := range []string{"", "-ERR what?\r\n"} {
		server := &fakeserver.POP3{TLS: serverTLS, Store: fakeserver.NewStore(), NoPipelining: true}
		asked := 0
		server.Reply = func(verb, _ string) (string, bool) {
			if verb != "CAPA" {
				return "", false
			}
			if asked++; asked == 1 {
				return "+OK\r\nSTLS\r\nPIPELINING\r\nUSER\r\n.\r\n", true
			}
			return underTLS, underTLS != ""
		}
		opts := plaintext()
		opts.StartTLS, opts.TLS = true, config
		client := dial(t, server, opts, nil)
		// This server hangs up on a client that sends two commands together.
		if _, err := client.Open(t.Context(), ""); err != nil || asked < 2 {
			t.Errorf("PIPELINING is believed: %v; CAPA was asked for %d times", err, asked)
		}
	}
}

func TestPlainServerOnTLSPort(t *testing.T) {
	addr, verbs := spied(t, &fakeserver.POP3{})
	_, config := fakeserver.TLS()
	opts := plaintext()
	opts.Secure = true
	_, err := pop3.New(t.Context(), tls.Client(fetchtest.Dial(t, addr), config), opts)
	wantKind(t, err, fetch.TLS, "does not speak TLS")
	wantNoCredentials(t, verbs())
}

func TestTruncationUnderTLS(t *testing.T) {
	// The stream ends without close_notify. In the message that is a
	// lost message, after its terminator it is nothing.
	serverTLS, config := fakeserver.TLS()
	const raw = "Subject: a\r\n\r\nb\r\n"
	for _, sent := range []string{".\r\n", ".\r", "\r\n"} {
		store := fakeserver.NewStore()
		store.Add("", []byte(raw))
		var line *fetchtest.Cutter
		server := &fakeserver.POP3{Store: store, TLS: serverTLS, Terminator: sent}
		opts := plaintext()
		opts.StartTLS, opts.TLS = true, config
		client := dial(t, server, opts, func(c net.Conn) net.Conn { line = fetchtest.Cut(c); return line })
		listing, err := client.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		// The reply is one record of TLS 1.3, which adds 22 octets.
		line.Reads(int64(len("+OK 17 octets\r\n"+raw) + len(sent) + 22))
		var bodyErr error
		err = client.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
			_, bodyErr = io.Copy(io.Discard, m.Body)
			return nil
		})
		if sent == ".\r\n" && (err != nil || bodyErr != nil) {
			t.Errorf("cut after the terminator: got %v, Body %v", err, bodyErr)
		}
		if sent != ".\r\n" && (!errors.Is(bodyErr, io.ErrUnexpectedEOF) || fetch.KindOf(err) != fetch.Unreachable) {
			t.Errorf("cut in place of the terminator, after %q: got %v, Body %v", sent, err, bodyErr)
		}
		client.Abort()
	}
}
