// Package inject hands messages to an MTA over SMTP (RFC 5321) or LMTP (RFC 2033),
// presenting for each the SMTP client that an upstream MX saw, with Postfix's
// XCLIENT (https://www.postfix.org/XCLIENT_README.html).
//
// One [Session] is one dialogue; a [Pool] holds several and takes messages from a
// queue. For each message the dialogue is
//
//	XCLIENT ...      220   who the client was: always the complete set of attributes
//	EHLO name        250   with the name that client gave; is XCLIENT offered again?
//	MAIL RCPT DATA   354   one write where PIPELINING (RFC 2920) is offered
//	content .        250   one write with the XCLIENT of the next message behind it
//
// which is three round trips. With [Options.Chunking] the content goes out by BDAT (RFC 3030)
// behind the replies to RCPT, with as many round trips for all but large messages.
//
// Postfix decides anew, with the presented address, whether a session may use XCLIENT. Where
// the EHLO after it offers XCLIENT again, the session is reset in place for the next
// message; where it does not, the next message gets a fresh connection that the pool has
// opened ahead of need.
//
// Every message ends in exactly one [Receipt]. The rules that it rests on:
//
//   - Nothing is sent to an MTA that does not take XCLIENT, unless told otherwise:
//     without it the client is this host, which may relay and is exempt from checks.
//   - A client that is unknown or must not be presented is [UNAVAILABLE] in all
//     attributes. That denies relaying; leaving attributes out would grant it.
//   - The final dot, or the last chunk, is sent only when the content was read to its end,
//     has the stated length, and [Message.BeforeDot] agreed. All else closes the socket;
//     between chunks RSET is enough.
//   - 2xx to the dot is delivered, 4xx deferred, 5xx refused; no reply, or one that
//     cannot be understood, is in doubt (RFC 1047). Without a dot nothing is delivered.
//   - A session that lost step is closed. No reply is ever counted for another command.
//
// # Protocol of the client
//
// The first greeting is EHLO, and HELO where the server answers that it knows of no EHLO.
// The second is always EHLO, also for a client that spoke plain SMTP.
// PROTO=SMTP is sent, but Postfix overwrites it at EHLO, so its Received field says
// ESMTP. HELO instead would put that right and lose SIZE, 8BITMIME, PIPELINING, the
// view on whether XCLIENT is offered again and, above all, NOTIFY=NEVER (RFC 3461),
// which keeps the MTA from bouncing to a forged sender.
package inject
