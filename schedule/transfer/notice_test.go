package transfer_test

import (
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

// TestMessageBehindANoticeIsNotDeleted: the server deletes the message where its notice has been delivered.
func TestMessageBehindANoticeIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.store.Add("", []byte("MIME-Version: 1.0\r\nFrom: Microsoft Exchange Server 2010\r\nTo: Alice\r\n"+
		"Subject: Retrieval using the IMAP4 protocol failed for the following\r\n message: 20004\r\n\r\nThe server couldn't retrieve the following message:\r\n"))
	w.add(2)
	for range 2 {
		w.run()
	}
	w.delivered(2)
	w.left(1)
	w.states(map[ledger.State]int{ledger.Delivered: 1, ledger.Held: 1})
}
