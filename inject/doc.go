// Package inject hands messages to an MTA over SMTP (RFC 5321) or LMTP (RFC 2033),
// presenting for each the SMTP client that an upstream MX saw, with Postfix's
// XCLIENT (https://www.postfix.org/XCLIENT_README.html).
//
// One [Session] is one dialogue; a [Pool] holds several and takes messages from a queue. How many
// it holds it finds by the rate of verdicts (pace.go). [Open] brings a session to the point where a
// client can be presented: greeting, EHLO, STARTTLS, AUTH. [Session.Deliver] then holds one dialogue
// for each message:
//
//	XCLIENT ...      220   who the client was: always the complete set of attributes
//	EHLO name        250   in that client's name; is XCLIENT offered again?
//	MAIL RCPT DATA   354   one write if PIPELINING (RFC 2920) is offered
//	content .        250   one write, together with the XCLIENT of the next message
//
// This takes three round trips. With [Options.Chunking] the content is sent by BDAT (RFC 3030)
// after the replies to RCPT, with as many round trips for all but large messages.
//
// Postfix decides anew, by the presented address, whether a session may use XCLIENT. If the
// EHLO after XCLIENT offers it again, the session is reset in place for the next message. If
// not, the next message gets a fresh connection, which the pool has opened ahead of need.
//
// Every message ends in exactly one [Receipt]. The rules behind it:
//
//   - Nothing is sent to an MTA that does not offer XCLIENT, unless [Options.XCLIENT] says
//     otherwise: without XCLIENT the client is this host, which may relay and is exempt from checks.
//   - A client that is unknown or must not be presented is [UNAVAILABLE] in all
//     attributes. That denies relaying; leaving attributes out would grant it.
//   - The final dot, or the last chunk, is sent only if the content was read to its end, has
//     the stated length, and [Message.BeforeDot] agreed. Otherwise the connection is closed;
//     between chunks RSET is enough.
//   - After the dot, 2xx means delivered, 4xx deferred, 5xx refused. No reply, or one that
//     cannot be understood, means in doubt (RFC 1047). Without a dot nothing is delivered.
//   - A session that is out of step is closed. No reply is ever taken for that to another command.
//   - What a used session has against it is not the next message's: Postfix counts errors and junk commands
//     across XCLIENT, so a session is replaced after a few messages in a row that were not delivered. Where the MTA
//     ends a used session before content was sent (421, "too many messages"), the message is tried again on a
//     fresh one, whose reply counts. Where it ends a session at one recipient, the others are tried without that one.
//
// # How it is built
//
// A wire carries the bytes: it sends commands, reads replies, sets deadlines, looks for replies
// that no command asked for, and traces. It knows nothing of their meaning. The dialogue
// above it reads in the order in which it is spoken: Session.begin from the greeting to AUTH, and
// transaction.dialogue from XCLIENT to the verdict, with one file for each way to present the
// client (xclient.go, xforward.go, proxy.go) and one for the content (data.go).
//
// A step of the dialogue returns nil to go on, or an end: the outcome, the stage, the reply, the
// error, and the state in which it leaves the session. What a reply means is decided by functions
// without side effects (verdict.go, xclientRefused). transaction.leave applies the end to the
// session, and transaction.receipt makes the receipt from it.
//
// # Protocol of the client
//
// The first greeting is EHLO, or HELO if the server answers that it does not know EHLO.
// The second, in the client's name, is EHLO, with one exception. PROTO=SMTP is sent for a client that spoke plain SMTP,
// but Postfix overwrites it at EHLO, so its Received field says ESMTP. HELO instead corrects that, and loses SIZE,
// 8BITMIME, PIPELINING, the offer of XCLIENT for the next message and, above all, NOTIFY=NEVER (RFC 3461), which keeps the
// MTA from bouncing to a forged sender. So it is said only for a client that is known to have said it, [Client.SMTP],
// and where the message needs none of these; the session then ends with that message.
package inject
