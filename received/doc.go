// Package received reads the Received fields of a message and finds the SMTP
// client that the recipient's provider saw.
//
// A Received field (RFC 5321, 4.4) is trace information: each host that takes
// a message puts one on top. What stands on top was written by the provider
// the message was fetched from. Further down there is a field that shows its
// first contact with the outside, the boundary. Everything below that is the
// sender's: it may be honest, and it may be a copy of what the provider
// writes, forged to the last letter.
//
// # Trust
//
// The package follows one rule: walk from the top, believe a field only if
// one of the provider's own hosts wrote it, and stop at the first whose peer
// is not the provider's. It never looks deeper for a better line. A field
// inside that run that cannot be read, or was written by somebody else, means
// that there is no answer, and no answer is never a guess: a wrong address
// would be judged in the place of the client, a private one would be given
// the rights of a neighbour.
//
//   - The address comes from the place where that software writes what it
//     saw on the socket. HELO text is the client's and is never searched for
//     addresses. Two candidates are none.
//   - A name counts as the client's only if the writer is known to have
//     verified it forward and backward; see [Hop.NameVerified].
//   - Who the provider's hosts are is said by a [Policy]: by host patterns,
//     by a built-in profile ([Profile]), or by inference from the chain
//     ([Auto]), which prefers no answer to a wrong one.
//   - Other fields in which the provider names the client, such as
//     Received-SPF, confirm or contradict. They are never a source.
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
//	// b.Why says why, in one sentence, also where nothing was found
//
// The package does no I/O, asks neither clock nor DNS, keeps no state and
// writes no log. All input is taken for hostile: sizes are bounded ([Parse],
// [ReadChain]), time is linear, and nothing panics.
package received
