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
// The package does no I/O, uses neither the clock nor the DNS, keeps no state and
// writes no log. All input counts as hostile: sizes are bounded ([Parse],
// [ReadChain]), time is linear, and nothing panics.
package received
