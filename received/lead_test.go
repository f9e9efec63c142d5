package received

import "testing"

// TestCommentWithoutAName: a field that begins with a comment shows a peer only if that has a name before its address. Anybody
// can write one without.
func TestCommentWithoutAName(t *testing.T) {
	for _, lead := range []string{"(from []", "(from [203.0.113.9])", "(from [0]0", "(from  [203.0.113.9])", "(FROM [203.0.113.9])"} {
		for _, rest := range []string{"", "0", " by mx.example.net with SMTP id 1; Mon, 23 Nov 2026 12:00:00 +0000"} {
			field := lead + rest
			if h := Parse([]byte(field)); h.Addr.IsValid() {
				t.Errorf("%s\ngives %v", field, h.Addr)
			}
			ReadChain([]byte("Received: " + field + "\r\n\r\n")) // and it does not matter to the others
		}
	}
}
