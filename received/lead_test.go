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

// TestHELOThatEndsTheLeadingComment: where the peer stands in the comment before "by", the HELO may end that comment.
func TestHELOThatEndsTheLeadingComment(t *testing.T) {
	const by = " by mx.example.org (NAVGW 2.5.1.18) with SMTP id M2; Mon, 23 Nov 2026 12:00:00 +0000"
	if h := Parse([]byte("(from client.example [192.0.2.10])" + by)); h.Addr != real {
		t.Errorf("without it: %s", describe(h))
	}
	for _, helo := range []string{"x [198.51.100.7]) (y", "x [198.51.100.7])(", "x [198.51.100.7]) y (z"} {
		if h := Parse([]byte("(from " + helo + " [192.0.2.10])" + by)); h.Addr.IsValid() && h.Addr != real {
			t.Errorf("%s", describe(h))
		}
	}
}
