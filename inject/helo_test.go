package inject

import "testing"

// HELO is said for a client that said it only where the message loses nothing by that.
func TestLostByHELO(t *testing.T) {
	sized := func(limit int64) extensions { return extensions{size: true, sizeLimit: limit} }
	for _, c := range []struct {
		name    string
		options Options
		offered extensions
		message Message
		loginDue,
		lost bool
	}{
		{"nothing is offered or needed", Options{}, extensions{}, Message{From: "a@example.net"}, false, false},
		{"what is offered and not needed", Options{}, extensions{pipelining: true, eightBit: true, utf8: true, dsn: true, chunking: true, size: true}, Message{From: "a@example.net"}, false, false},
		{"LMTP", Options{Dialect: LMTP}, extensions{}, Message{}, false, true},
		{"a login that is due", Options{}, extensions{}, Message{}, true, true},
		{"NOTIFY=NEVER", Options{DSN: DSNNever}, extensions{dsn: true}, Message{From: "a@example.net"}, false, true},
		{"NOTIFY=NEVER that is not offered", Options{DSN: DSNNever}, extensions{}, Message{From: "a@example.net"}, false, false},
		{"NOTIFY=NEVER for the null sender", Options{DSN: DSNNever}, extensions{dsn: true}, Message{}, false, false},
		{"8BITMIME", Options{}, extensions{eightBit: true}, Message{EightBit: true}, false, true},
		{"8BITMIME that is not offered", Options{}, extensions{}, Message{EightBit: true}, false, false},
		{"SMTPUTF8 for the sender", Options{}, extensions{utf8: true}, Message{From: "ä@example.net"}, false, true},
		{"SMTPUTF8 for a recipient", Options{}, extensions{utf8: true}, Message{To: []string{"a@example.org", "ä@example.org"}}, false, true},
		{"SMTPUTF8 for the header", Options{}, extensions{utf8: true}, Message{UTF8: true}, false, true},
		{"SMTPUTF8 for the header that is not offered", Options{}, extensions{}, Message{UTF8: true}, false, false},
		{"BDAT", Options{Chunking: true}, extensions{chunking: true}, Message{}, false, true},
		{"BDAT that is not offered", Options{Chunking: true}, extensions{}, Message{}, false, false},
		{"a message within SIZE", Options{}, sized(100), Message{Size: 90, Header: []byte("X: y\r\n")}, false, false},
		{"a message above SIZE by its header", Options{}, sized(95), Message{Size: 90, Header: []byte("X: y\r\n")}, false, true},
		{"a message of unknown size", Options{}, sized(100), Message{Size: -1}, false, true},
		{"a message of unknown size without a limit", Options{}, sized(0), Message{Size: -1}, false, false},
	} {
		tr := &transaction{s: &Session{o: &c.options, ext: c.offered, loginDue: c.loginDue}, m: &c.message, from: c.message.From, to: c.message.To}
		if got := tr.lostByHELO(); (got != "") != c.lost {
			t.Errorf("%s: lost %q, want something lost: %v", c.name, got, c.lost)
		}
	}
}
