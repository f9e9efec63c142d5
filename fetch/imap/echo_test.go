package imap

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestPasswordOfOurOwnWords: a password that stands in the words of the protocol or of an error is not taken for an echo; what
// the server says is shown then.
func TestPasswordOfOurOwnWords(t *testing.T) {
	for _, password := range []string{"LOGIN", "server", "said", "imap", "NO", "T1", ":"} {
		o := plaintext()
		o.Credentials.Password = password
		_, err := New(t.Context(), fetchtest.Play(t, "S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: T1 NO [EXPIRED] renew it\nhangup"), o)
		if fetch.KindOf(err) != fetch.Auth || !strings.Contains(err.Error(), "renew it") {
			t.Errorf("%q: got %v, want the server's words", password, err)
		}
	}
}
