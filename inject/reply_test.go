package inject

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadReply(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Reply
		rest string
	}{
		{"250 2.0.0 Ok: queued as 4D1\r\nrest", Reply{250, "2.0.0", "Ok: queued as 4D1"}, "rest"},
		{"250\r\n", Reply{Code: 250}, ""},
		{"250 \r\n", Reply{Code: 250}, ""},
		{"250 ok\n", Reply{Code: 250, Text: "ok"}, ""},
		{"450-first\n450 second  \n", Reply{Code: 450, Text: "first / second"}, ""},
		{"250-mx.example.org\n250 SIZE\n", Reply{Code: 250, Text: "mx.example.org"}, ""},
		{"550-5.7.1 no\r\n550 5.7.1 never\r\n", Reply{550, "5.7.1", "no / never"}, ""},
		{"550 4.7.1 class of another code\r\n", Reply{550, "", "4.7.1 class of another code"}, ""},
		{"550 5.7.1234 too long\r\n", Reply{550, "", "5.7.1234 too long"}, ""},
		{"550 5.7. x\r\n", Reply{550, "", "5.7. x"}, ""},
		{"421 \x1b[31mred\x00\xff\r\n", Reply{Code: 421, Text: "?[31mred??"}, ""},
		{"250 " + strings.Repeat("x", 1000) + "\r\n", Reply{Code: 250, Text: strings.Repeat("x", 400) + "..."}, ""},
		{"550 5.7.1 " + strings.Repeat("x", 10000) + "\r\nrest", Reply{550, "5.7.1", strings.Repeat("x", 400) + "..."}, "rest"},
		{"550-" + strings.Repeat("x", maxReplyLine-4) + "\r\n550 end\r\nrest", Reply{550, "", strings.Repeat("x", 400) + "..."}, "rest"},
		{"550-" + strings.Repeat("x", maxReplyLine-5) + "\r\n550 end\r\nrest", Reply{550, "", strings.Repeat("x", 400) + "..."}, "rest"},
	} {
		rr := newReplyReader(iotest.OneByteReader(strings.NewReader(c.in)))
		got, _, err := rr.read()
		rest, _ := io.ReadAll(rr.r)
		if err != nil || got != c.want || string(rest) != c.rest {
			t.Errorf("%q: %+v, %v, rest %q; want %+v", c.in, got, err, rest, c.want)
		}
	}
}

// TestReplyAsItWasSaid: what was not said leaves no trace.
func TestReplyAsItWasSaid(t *testing.T) {
	for want, reply := range map[string]Reply{
		"":                {},
		"550":             {Code: 550},
		"550 5.7.1":       {Code: 550, Enhanced: "5.7.1"},
		"550 no":          {Code: 550, Text: "no"},
		"550 5.7.1 never": {Code: 550, Enhanced: "5.7.1", Text: "never"},
	} {
		if got := reply.String(); got != want {
			t.Errorf("%#v: %q, want %q", reply, got, want)
		}
	}
}

// What is no reply, or has no end, is an error.
func TestReadReplyErrors(t *testing.T) {
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", io.EOF},
		{"250 cut", io.ErrUnexpectedEOF},
		{"250-first\r\n", io.EOF},
		{"25\r\n", errMalformed},
		{"\r\n", errMalformed},
		{"2500 x\r\n", errMalformed},
		{"abc x\r\n", errMalformed},
		{"25x x\r\n", errMalformed},
		{"150 x\r\n", errMalformed},
		{"650 x\r\n", errMalformed},
		{"250-a\r\n251 b\r\n", errMalformed},
		{"250 " + strings.Repeat("x", 2*maxSkipped) + "\r\n", errMalformed},
		{"250 " + strings.Repeat("x", 2*maxReplyLine), io.ErrUnexpectedEOF},
		{"250-a\r\n550 b\r\n", errMalformed},
		{"550-a\r\n250 b\r\n", errMalformed},
		{"55", io.ErrUnexpectedEOF},
		{"250-" + strings.Repeat("x", 2*maxReplyLine) + "\r\n251 b\r\n", errMalformed},
		{strings.Repeat("2", 1<<20), errMalformed},
		{strings.Repeat("250-x\r\n", 10000) + "250 x\r\n", errMalformed},
	} {
		if got, _, err := newReplyReader(strings.NewReader(c.in)).read(); !errors.Is(err, c.want) {
			t.Errorf("%.40q: %+v, %v; want %v", c.in, got, err, c.want)
		}
	}
	var lines strings.Builder
	for range maxReplyLines - 1 {
		lines.WriteString("250-x\r\n")
	}
	if _, got, err := newReplyReader(strings.NewReader(lines.String() + "250 x\r\n")).read(); err != nil || len(got) != maxReplyLines {
		t.Errorf("a reply of %d lines: %d lines, %v", maxReplyLines, len(got), err)
	}
}

// TestBrokenRefusal: a reply that says no and then goes wrong has said no. Nothing is read behind it.
func TestBrokenRefusal(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Reply
		end  error
	}{
		{"554-5.7.1 blocked\r\nsee https://example.net/why\r\n554 end\r\n", Reply{554, "5.7.1", "blocked"}, errMalformed},
		{"450-later\r\n451 much later\r\n250 ok\r\n", Reply{450, "", "later"}, errMalformed},
		{"554-no\r\n450 or later\r\n", Reply{450, "", "no"}, errMalformed}, // the milder one
		{"554 5.7.1 rejected by pol", Reply{554, "5.7.1", "rejected by pol"}, io.ErrUnexpectedEOF},
		{"554", Reply{Code: 554}, io.ErrUnexpectedEOF},
		{"421-closing\r\n", Reply{421, "", "closing"}, io.EOF},
		{"554-no\r\n55", Reply{554, "", "no"}, io.ErrUnexpectedEOF},
		{"550 5.7.1 " + strings.Repeat("x", 2*maxSkipped) + "\r\n", Reply{550, "5.7.1", strings.Repeat("x", 400) + "..."}, errMalformed},
		{strings.Repeat("550-x\r\n", 10000), Reply{550, "", ""}, errMalformed},
	} {
		rr := newReplyReader(strings.NewReader(c.in))
		got, _, err := rr.read()
		if c.want.Text == "" {
			got.Text = ""
		}
		if err != nil || got != c.want {
			t.Errorf("%.60q: %+v, %v; want %+v", c.in, got, err, c.want)
		}
		if got, _, err := rr.read(); !errors.Is(err, c.end) {
			t.Errorf("%.60q: then %+v, %v; want %v", c.in, got, err, c.end)
		}
	}
}

// TestMixedReplyIsTold: where the codes of a reply differ, the words are told that make the difference.
func TestMixedReplyIsTold(t *testing.T) {
	_, _, err := newReplyReader(strings.NewReader("220-mx.example.net\r\n521 5.7.1 blocked by a list\r\n")).read()
	if err == nil || !strings.Contains(err.Error(), "521 5.7.1 blocked by a list") {
		t.Error(err)
	}
}

func TestQueueID(t *testing.T) {
	for text, want := range map[string]string{
		"Ok: queued as 4WxYz123Abcz":                  "4WxYz123Abcz",
		"Queued as 4WxYz123Abcz":                      "4WxYz123Abcz",
		"Message Queued (0A1B2C3D-4E5F.1)":            "0A1B2C3D-4E5F.1",
		"OK id=1tABCd-000000001Qx-2abc":               "1tABCd-000000001Qx-2abc",
		"4AN7Xk12 Message accepted for delivery":      "4AN7Xk12",
		"2.0.0 abc Message accepted for delivery":     "abc",
		"Ok: queued as " + strings.Repeat("A", 65):    "",
		"Ok: queued as A<script>":                     "",
		"Message accepted for delivery":               "",
		"Ok":                                          "",
		"Ok: queued as 12AB, thank you for your mail": "12AB",
	} {
		if got := queueID(text); got != want {
			t.Errorf("queueID(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestParseExtensions(t *testing.T) {
	x := parseExtensions([]string{"mx.example.org at your service", "pipelining", "SIZE 1024", "8bitmime", "XClient Name Addr", "AUTH plain LOGIN", "", "DSN"})
	if !x.pipelining || !x.size || x.sizeLimit != 1024 || !x.eightBit || !x.dsn || x.utf8 || x.startTLS ||
		!slices.Equal(x.xclient, []string{"NAME", "ADDR"}) || !slices.Equal(x.auth, []string{"PLAIN", "LOGIN"}) {
		t.Errorf("%+v", x)
	}
	if x := parseExtensions([]string{"PIPELINING"}); x.pipelining {
		t.Error("the server's name is taken for an extension")
	}
	if x := parseExtensions([]string{"x", "SIZE 99999999999999999999999"}); x.sizeLimit != 0 {
		t.Errorf("size %d", x.sizeLimit)
	}
	if x := parseExtensions([]string{"x", "XCLIENT"}); x.xclient == nil {
		t.Error("XCLIENT without attributes is offered all the same")
	}
}

// FuzzReadReply: no input makes more than it may, and what comes out can be shown.
func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.7.1 x\n", "2", "250-a\r\n251 b\r\n", "220\x00\r\n", "250 \xff\xfe\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		rr := newReplyReader(strings.NewReader(in))
		for {
			reply, lines, err := rr.read()
			if err != nil {
				return
			}
			if reply.Code < 200 || reply.Code > 599 || len(lines) > maxReplyLines || len(reply.Text) > maxText+3 ||
				strings.ContainsAny(reply.String(), "\r\n\x00\x1b") {
				t.Fatalf("%+v of %q", reply, in)
			}
			if id := queueID(reply.Text); !plain(id) || len(id) > 64 {
				t.Fatalf("queue id %q of %q", id, in)
			}
			parseExtensions(lines)
		}
	})
}

// plain reports whether s is printable ASCII.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
