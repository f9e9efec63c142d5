// Package received reads the Received fields of a message and finds the SMTP
// client that the recipient's provider saw.
//
// A Received field (RFC 5321, 4.4) is trace information: each host that accepts
// a message puts one on top. The fields on top were written by the provider that
// the message was fetched from. Further down, one field shows the provider's
// first contact with the outside: the boundary. Everything below comes from the
// sender. It may be honest, and it may be an exact copy of what the provider
// writes.
//
// # Trust
//
// The package follows one rule: walk from the top, believe a field only if one
// of the provider's own hosts wrote it, and stop at the first field whose peer
// is not the provider's. It never looks deeper for a better field. If a field on
// the way cannot be read, or was written by another host, there is no answer.
// The package never guesses: an MTA would judge a wrong address in place of the
// client's, and would give a private address the rights of a local client.
//
//   - A link from one field to the next rests on what the writer of the upper one
//     verified: the peer's name, or its address, or LMTP, or a local hand-over. What a
//     peer says of itself in HELO is no link.
//   - The address comes from the place where the writer's software records the
//     address of the connection. HELO text is the client's and is never searched
//     for addresses. If there are two candidates, neither counts.
//   - A name counts as the client's only if the writer is known to have
//     verified it forward and backward; see [Hop.NameVerified].
//   - A [Policy] says which hosts are the provider's: by host patterns, by a
//     built-in profile ([Profile]), or by inference from the chain ([Auto]),
//     which prefers no answer to a wrong one.
//   - Other fields in which the provider names the client, such as
//     Received-SPF, can confirm or contradict the address. The address is never
//     taken from them.
//   - Loopback, private, shared, link-local, multicast and reserved
//     addresses are never a client; see [Public].
//
// # Use
//
//	chain := received.ReadChain(header)
//	b := chain.Boundary(received.Auto("imap.example.org"))
//	if b.Found {
//		// b.Client.Addr, b.Client.HELO, b.Client.Name
//	}
//	// b.Why gives the reason in one sentence, found or not
//
// # Three answers
//
// A client was found; the mail never had one ([Boundary.Internal]); or the client is
// unknown ([Boundary.Err]), with a reason for errors.Is: an [Outcome], and one of the
// errors of [Parse] where a field could not be read. Do not present another address of
// the chain in place of an unknown client, nor take unknown for internal.
//
// # Limits
//
// A header is read up to 1 MiB and 500 Received fields, a field up to 64 KiB and 2,048
// parts; what is beyond is an error, never a silent cut. Time and memory are linear in
// the length of the input, for any input. All functions may be called from several
// goroutines at once; a [Chain] is not changed after [ReadChain].
//
// # Stability
//
// Before version 1 the names of forms, providers and gateway services may grow, and a
// boundary may change where a provider changes its hosts or a rule is found that a
// sender could turn. Exported names, the meaning of [Boundary.Found], and that an
// answer never rests on what a client said, stay.
//
// The package does no I/O, uses neither the clock nor the DNS, keeps no state and
// writes no log. All input counts as hostile: sizes are bounded ([Parse],
// [ReadChain]), time is linear, and nothing panics.
package received
