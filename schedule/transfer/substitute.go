package transfer

import (
	"strings"

	"github.com/truehop/truehop/received"
)

// whySubstitute is what a person is told of a message that the server did not hand over.
const whySubstitute = "the server cannot hand this message over, and shows a notice of its own in its place: read the message by webmail, or let truehop retry it"

// isSubstitute reports whether a header is that of a notice in the place of a message: Exchange shows one where it cannot convert it, and
// Courier where it cannot open its file. Were the notice delivered, the message would be taken for delivered, and deleted unread. Nobody
// can send one: it has not come by mail, so that it has no Received field.
func isSubstitute(head []byte, chain *received.Chain) bool {
	if len(chain.Hops) > 0 {
		return false
	}
	from := strings.Join(values(head, "From", 1), "")
	subject := strings.Join(strings.Fields(strings.Join(values(head, "Subject", 1), "")), " ")
	rest, begins := strings.CutPrefix(subject, "Retrieval using the ") // IMAP4 or POP3
	if begins && strings.Contains(rest, " protocol failed for the following message:") {
		return true
	}
	return subject == "message unavailable" && strings.TrimSpace(from) == "System Administrator <root@localhost>"
}
