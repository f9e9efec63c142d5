package received

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	date   = "; Mon, 15 Jan 2024 10:00:00 +0000\r\n"
	ownHop = "Received: from mx.example.org (mx.example.org [10.0.0.2]) by mx.example.org (Postfix) with ESMTP id 4A" + date
	mxHop  = "Received: from client.example (mail.example.com [192.0.2.10]) by mx.example.org (Postfix) with ESMTP id 4B" + date
	lie    = "Received: from good.example (good.example [198.51.100.7]) by mx.example.org (Postfix) with ESMTP id 4C" + date
)

var own = Policy{MX: []string{"mx.example.org"}, Internal: []string{"store.example.org", "localhost"}}

func TestReadChain(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		hops         int
		err          error // of the last hop
	}{
		{"nothing", "", 0, nil},
		{"the body is not read", mxHop + "Subject: x\r\n\r\n" + lie, 1, nil},
		{"an empty line on top", "\r\n" + mxHop, 0, nil},
		{"after other fields", "Subject: x\r\nDKIM-Signature: a\r\n\tb\r\n" + mxHop, 1, nil},
		{"LF", strings.ReplaceAll(mxHop+lie, "\r\n", "\n") + "\nbody", 2, nil},
		{"no line end", strings.TrimSuffix(mxHop, "\r\n"), 1, nil},
		{"upper case", "RECEIVED:" + mxHop[len("Received:"):], 1, nil},
		{"mbox line", "From x@example.com Mon Jan 15 10:00:00 2024\r\n" + mxHop, 1, nil},
		{"mbox line, LF", "From x@example.com Mon Jan 15 10:00:00 2024\n" + mxHop, 1, nil},
		{"quoted mbox line", ">From x@example.com Mon Jan 15 10:00:00 2024\r\n" + mxHop, 1, nil},
		{"several mbox lines", ">From x\r\nFrom y\n>>From z\r\n" + mxHop, 1, nil},
		{"nothing but an mbox line", "From x@example.com", 0, nil},
		{"From is a field", "From: x@example.com\r\n" + mxHop, 1, nil},
		{"From is a field with white space before the colon", "From : x@example.com\r\n" + mxHop, 1, nil},
		{"From without a space is nothing", "From\r\n" + mxHop, 1, ErrNoField},
		{"a line folded below an mbox line", "From x\r\n y\r\n" + mxHop, 1, ErrNoField},
		{"an mbox line as long as a header", "From " + strings.Repeat("x", 2<<20) + "\r\n" + mxHop, 1, ErrHeaderTooLong},
		{"a folded blank line", "Received: from client.example (mail.example.com [192.0.2.10])\r\n \r\n by mx.example.org (Postfix) with ESMTP id 4B" + date, 1, nil},
		{"white space before the colon", "Received : x\r\n" + mxHop, 2, nil},
		{"a line that is no field", ownHop + ">From x\r\n" + mxHop, 2, ErrNoField},
		{"a folded line on top", " x\r\n" + mxHop, 1, ErrNoField},
		{"NUL", "Received: from a\x00 (b [192.0.2.10]) by mx.example.org (Postfix) with ESMTP id 4" + date, 1, ErrControl},
		{"CR", "Received: from a\r (b [192.0.2.10]) by mx.example.org (Postfix) with ESMTP id 4" + date, 1, ErrControl},
		{"a long field", "Received: from " + strings.Repeat("x", 500<<10) + date, 1, ErrTooLong},
		{"many fields", strings.Repeat(ownHop, 1000) + mxHop, maxHops + 1, ErrTooManyFields},
		{"a long header", mxHop + "X: " + strings.Repeat("x", 2<<20) + "\r\n", 2, ErrHeaderTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ReadChain([]byte(tt.header))
			if len(c.Hops) != tt.hops {
				t.Fatalf("%d hops, want %d", len(c.Hops), tt.hops)
			}
			if tt.hops == 0 {
				return
			}
			if err := c.Hops[tt.hops-1].Err; !errors.Is(err, tt.err) && (err != nil || tt.err != nil) {
				t.Errorf("the last hop's error is %v, want %v", err, tt.err)
			}
		})
	}
}

// Where something above the boundary cannot be read, there is no answer.
func TestUnreadableAboveBoundary(t *testing.T) {
	for name, above := range map[string]string{
		"white space before the colon": "Received : from a by mx.example.org" + date,
		"no field":                     "hello\r\n",
		"NUL":                          "Received: from a\x00 (b [10.0.0.3]) by mx.example.org (Postfix) with ESMTP id 4" + date,
		"long field":                   "Received: from " + strings.Repeat("x", 500<<10) + date,
		"500 fields":                   strings.Repeat(ownHop, maxHops),
	} {
		t.Run(name, func(t *testing.T) {
			if b := ReadChain([]byte(above + mxHop + "\r\n")).Boundary(own); b.Found {
				t.Errorf("an answer: %s", b.Why)
			}
		})
	}
}

// Whatever a field holds, Parse reads it, and ReadChain goes on with the next. [TestLongScans] and
// [BenchmarkHostileHeader] measure the cost.
func TestHostileFields(t *testing.T) {
	for name, unit := range map[string]string{
		"comments":     "(",
		"closed":       "()",
		"closing":      ")",
		"backslashes":  `\`,
		"quotes":       `"`,
		"angles":       "<",
		"blank angles": "< ",
		"brackets":     "[",
		"blanks":       " ",
		"folds":        "\r\n ",
		"words":        "a ",
		"by":           "by ",
		"from":         "from ",
		"with":         "with x ",
		"semicolons":   ";",
		"peers":        "([192.0.2.1]) ",
		"helo":         "(helo= helo=",
		"claiming":     "claiming to be ",
		"colons":       ":",
		"8-bit":        "\xff",
		"NUL":          "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			for _, prefix := range []string{"", "from x ", "from x (", "from x (y [192.0.2.1]) by mx.example.org ", "by mx.example.org; "} {
				value := prefix + strings.Repeat(unit, (maxField-8-len(prefix))/len(unit))
				header := "Received: " + value + "\r\n" + mxHop
				if c := ReadChain([]byte(header)); len(c.Hops) != 2 || c.Hops[1].Addr != real || len(c.Hops[0].HELO) > maxField {
					t.Errorf("%q: %d hops", prefix, len(c.Hops))
				}
			}
		})
	}
	deep := "from x " + strings.Repeat("(", 1000) + strings.Repeat(")", 1000) + " (mail.example.com [192.0.2.10]) by mx.example.org (Postfix) with ESMTP id 4; Mon, 15 Jan 2024 10:00:00 +0000"
	if h := Parse([]byte(deep)); h.Err != nil || h.Addr.String() != "192.0.2.10" {
		t.Errorf("comments nested 1,000 deep: %v, %v", h.Addr, h.Err)
	}
}

func TestParseAllocations(t *testing.T) {
	for _, f := range benchFields {
		value := []byte(f.field)
		if n := testing.AllocsPerRun(100, func() { Parse(value) }); n >= 10 {
			t.Errorf("%s: %v allocations", f.name, n)
		}
	}
	var header []byte
	for i := range 400 {
		header = fmt.Appendf(header, "X-Field-%d: %s\r\n", i, strings.Repeat("x", 100))
	}
	header = append(header, mxHop...)
	if n := testing.AllocsPerRun(100, func() { ReadChain(header) }); n > 50 {
		t.Errorf("a header of 400 other fields: %v allocations", n)
	}
}

func TestEnvelopeFields(t *testing.T) {
	c := ReadChain([]byte("Return-Path: <>\r\nDelivered-To: <user@example.org>\r\n" + ownHop +
		"X-Original-To: other@example.org\r\nEnvelope-To: a b\r\n" + mxHop +
		"Return-Path: <forged@example.com>\r\nX-Envelope-To: forged@example.org\r\nDELIVERED-TO: bad\x00\r\n\r\n"))
	var got bytes.Buffer
	for _, f := range c.Envelope.ReturnPath {
		fmt.Fprintf(&got, "path %q at %d\n", f.Address, f.At)
	}
	for _, f := range c.Envelope.Recipients {
		fmt.Fprintf(&got, "%s %q at %d\n", f.Name, f.Address, f.At)
	}
	const want = `path "" at 0
path "forged@example.com" at 2
Delivered-To "user@example.org" at 0
X-Original-To "other@example.org" at 1
Envelope-To "" at 1
X-Envelope-To "forged@example.org" at 2
DELIVERED-TO "" at 2
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", &got, want)
	}
	b := c.Boundary(own)
	if b.Sender != "" || b.Recipient != "user@example.org" {
		t.Errorf("sender %q, recipient %q: not what the trusted part records", b.Sender, b.Recipient)
	}
}

func TestParseProof(t *testing.T) {
	for _, tt := range []struct{ name, value, addr, writer string }{
		{"Received-SPF", " pass (google.com: domain of a@example.com designates 192.0.2.10 as permitted sender) client-ip=192.0.2.10;", "192.0.2.10", "google.com"},
		{"Received-SPF", " Pass (protection.outlook.com: domain of example.com designates\r\n 192.0.2.10 as permitted sender) receiver=protection.outlook.com;\r\n client-ip=192.0.2.10; helo=x", "192.0.2.10", "protection.outlook.com"},
		{"received-spf", ` pass (domain example.com) client-ip="2001:db8::10"; receiver=mx.example.org`, "2001:db8::10", "mx.example.org"},
		{"Received-SPF", " neutral (mx.example.org: 192.0.2.10 is neither permitted nor denied by domain of example.com)", "192.0.2.10", "mx.example.org"},
		{"Received-SPF", " fail (mx.example.org: domain of a@example.com does not designate 192.0.2.10 as permitted sender)", "192.0.2.10", "mx.example.org"},
		{"Received-SPF", " none (no address)", "", ""},
		{"Authentication-Results", " spf=pass (sender IP is 192.0.2.10)\r\n smtp.mailfrom=example.com", "192.0.2.10", ""},
		{"Authentication-Results", " mx.example.org 1; arc=none smtp.remote-ip=192.0.2.10", "192.0.2.10", "mx.example.org"},
		{"Authentication-Results", " mx.example.org; dkim=pass", "", "mx.example.org"},
		{"ARC-Authentication-Results", " i=1; mx.google.com; spf=pass (google.com: domain of a@example.com designates 192.0.2.10 as permitted sender)", "192.0.2.10", "mx.google.com"},
		{"X-Forefront-Antispam-Report", "\r\n CIP:192.0.2.10;CTRY:;H:mail.example.com;PTR:x;", "192.0.2.10", ""},
		{"X-Sender-IP", " 192.0.2.10", "192.0.2.10", ""},
		{"X-Originating-Ip", " [192.0.2.10]", "192.0.2.10", ""},
		{"X-Spam-source", " IP='192.0.2.10', Host='mail.example.com', Country='US'", "192.0.2.10", ""},
		{"X-Originating-IP", " 192.0.2.10, 198.51.100.7", "", ""},
		{"Subject", " client-ip=192.0.2.10", "", ""},

		// What the client said looks like an address that the receiver found.
		{"Received-SPF", " pass (mx.example.org: domain of client-ip=198.51.100.7'@example.com designates 192.0.2.10 as permitted sender) client-ip=192.0.2.10", "192.0.2.10", "mx.example.org"},
		{"Received-SPF", ` pass (mailfrom) identity=mailfrom; client-ip=192.0.2.10; envelope-from="client-ip=198.51.100.7 "@example.com; receiver=mx.example.org`, "192.0.2.10", "mx.example.org"},
		{"Received-SPF", " none (mailfrom) client-ip=192.0.2.10; helo=x; client-ip=198.51.100.7; receiver=mx.example.org", "", ""},
		{"Authentication-Results", ` mx.example.org; spf=pass (mx.example.org: domain of "x designates 198.51.100.7 as"@example.com designates 192.0.2.10 as permitted sender)`, "", ""},
		{"Received-SPF", ` none receiver=mx.example.org; identity=mailfrom; envelope-from="x\" client-ip=198.51.100.7 y@example.com"; helo=x; client-ip=192.0.2.10`, "", ""},
		{"Received-SPF", ` none helo=x"; client-ip=192.0.2.10; envelope-from=y" client-ip=198.51.100.7 z@example.com; receiver=mx.example.org`, "", ""},
		{"Authentication-Results", " mx.example.org; spf=pass (mx.example.org: domain of x designates 198.51.100.7 as@example.com designates 192.0.2.10 as permitted sender)", "", ""},
		{"Authentication-Results", " mx.example.org; spf=pass smtp.mailfrom=client-ip=198.51.100.7'@example.com", "", ""},
		{"Authentication-Results", ` mx.example.org; spf=pass smtp.mailfrom="sender IP is 198.51.100.7 "@example.com`, "", ""},
		{"Authentication-Results", ` mx.example.org; spf=none smtp.mailfrom="198.51.100.7 is neither permitted"@example.com smtp.remote-ip=192.0.2.10`, "192.0.2.10", "mx.example.org"},
	} {
		p, ok := parseProof([]byte(tt.name), []byte(tt.value))
		if ok != (tt.addr != "") || ok && (p.Addr.String() != tt.addr || p.Writer != tt.writer) {
			t.Errorf("%s:%s\n got %v by %q, %v; want %s by %q", tt.name, tt.value, p.Addr, p.Writer, ok, tt.addr, tt.writer)
		}
	}
}

func TestReturnPathThatHoldsNoAddress(t *testing.T) {
	for _, c := range []struct {
		value, address string
		bad            bool
	}{
		{"<>", "", false},
		{" <> ", "", false},
		{"<a@example.org>", "a@example.org", false},
		{"a@example.org", "a@example.org", false},
		{"", "", true},
		{`<"a b"@example.org>`, `"a b"@example.org`, false},
		{`<"a\"b c"@example.org>`, `"a\"b c"@example.org`, false},
		{`<"a b"@example.org c>`, "", true},
		{`<"a b@example.org>`, "", true},
		{`<x"a b"@example.org>`, "", true},
		{"<\"a\x00b\"@example.org>", "", true},
		{"<a b@example.org>", "", true},
		{"<a@example.org> SIZE=1", "", true},
	} {
		chain := ReadChain([]byte("Return-Path: " + c.value + "\r\n\r\n"))
		if len(chain.Envelope.ReturnPath) != 1 {
			t.Errorf("%q: %d fields", c.value, len(chain.Envelope.ReturnPath))
			continue
		}
		if got := chain.Envelope.ReturnPath[0]; got.Address != c.address || got.Bad != c.bad {
			t.Errorf("%q: address %q, bad %v, want %q and %v", c.value, got.Address, got.Bad, c.address, c.bad)
		}
	}
}

func TestIsMboxLine(t *testing.T) {
	for line, want := range map[string]bool{
		"From x@example.com Mon Jan 15 10:00:00 2024\r\n": true, "From  Mon Jan 15 10:00:00 2024\n": true,
		"From ": true, ">From x": true, ">>>From x": true, "From x: y": true,
		"": false, ">": false, "From": false, "From\r\n": false, "From\tx": false, "from x": false, "FROM x": false,
		"From: x": false, "From : x": false, "From \t : x": false, ">From: x": false, ">From : x": false,
		" From x": false, "> From x": false, "Fromage x": false, "X-From x": false,
	} {
		if got := IsMboxLine([]byte(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}
