package transfer

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/truehop/truehop/schedule/ledger"
)

// TestReadHeading: what names a message is decoded where it can be, and fit to be shown in any case.
func TestReadHeading(t *testing.T) {
	date := time.Date(2026, 11, 23, 13, 15, 0, 0, time.UTC)
	for _, c := range []struct {
		name, head string
		want       ledger.Heading
	}{
		{"nothing", "Received: from x\r\n\r\n", ledger.Heading{}},
		{"no header", "", ledger.Heading{}},
		{"plain", "From: Jo Example <jo@example.org>\r\nSubject: an\r\n invoice\r\nDate: Mon, 23 Nov 2026 14:15:00 +0100\r\nMessage-ID: <1@example.org>\r\n\r\n",
			ledger.Heading{From: "Jo Example <jo@example.org>", Subject: "an invoice", MessageID: "1@example.org", Date: date}},
		{"LF, other case, blanks before the colon", "FROM : jo@example.org\nsubject:x\nmessage-id:\t<1@example.org>\n\n",
			ledger.Heading{From: "<jo@example.org>", Subject: "x", MessageID: "1@example.org"}},
		{"the first of each counts", "Subject: one\r\nSubject: two\r\n\r\n", ledger.Heading{Subject: "one"}},
		{"several authors", "From: a@example.org, b@example.org\r\n\r\n", ledger.Heading{From: "<a@example.org> and others"}},
		{"encoded in UTF-8, over two words", "From: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>\r\nSubject: =?UTF-8?B?R3LDvA==?=\r\n =?utf-8?B?w59l?= and more\r\n\r\n",
			ledger.Heading{From: "Zoë <zoe@example.org>", Subject: "Grüße and more"}},
		{"encoded in quotes", "From: \"=?utf-8?q?Zo=C3=AB?=\" <zoe@example.org>\r\n\r\n", ledger.Heading{From: "Zoë <zoe@example.org>"}},
		{"KOI8-R", "Subject: =?koi8-r?B?8NLJ18XU?=\r\n\r\n", ledger.Heading{Subject: "Привет"}},
		{"ISO-2022-JP", "Subject: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\r\n\r\n", ledger.Heading{Subject: "日本"}},
		{"GB2312", "Subject: =?gb2312?B?1tDOxA==?=\r\n\r\n", ledger.Heading{Subject: "中文"}},
		{"Windows-1251", "From: =?windows-1251?Q?=CE=EB=FF?= <olya@example.org>\r\n\r\n", ledger.Heading{From: "Оля <olya@example.org>"}},
		{"a character set that nobody knows", "From: =?x-odd?Q?a=FFb?= <a@example.org>\r\nSubject: =?x-odd?Q?a=FFb?= c\r\n\r\n",
			ledger.Heading{From: "=?x-odd?Q?a=FFb?= <a@example.org>", Subject: "=?x-odd?Q?a=FFb?= c"}},
		{"octets that are no UTF-8", "Subject: gr\xfc\xdfe\r\n\r\n", ledger.Heading{Subject: "gr?e"}},
		{"UTF-8 as it is", "Subject: grüße\r\n\r\n", ledger.Heading{Subject: "grüße"}},
		{"no address", "From: undisclosed senders\r\nMessage-ID: of no form\r\nDate: yesterday\r\n\r\n",
			ledger.Heading{From: "undisclosed senders", MessageID: "of no form"}},
		{"a year that is no year", "Date: Mon, 23 Nov 0001 14:15:00 +0100\r\n\r\n", ledger.Heading{}},
		{"control characters, plain and encoded", "Subject: a\x1b[2Jb\rc\x00d =?utf-8?q?e=1B[31m=0D=0Af=07?=\r\n\r\n", ledger.Heading{Subject: "a?[2Jbc?d e?[31m??f?"}},
		{"marks of direction", "From: \"\u202Egro.live\" <a@example.org>\r\nSubject: =?utf-8?B?4oCu?=x\u2066y\u200b\r\n\r\n",
			ledger.Heading{From: "?gro.live <a@example.org>", Subject: "?x?y?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ReadHeading([]byte(c.head))
			if !got.Date.Equal(c.want.Date) {
				t.Errorf("the date is %v, want %v", got.Date, c.want.Date)
			}
			got.Date, c.want.Date = time.Time{}, time.Time{}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestHeadingIsBounded: a sender who writes a megabyte gets a line of it.
func TestHeadingIsBounded(t *testing.T) {
	for name, fill := range map[string]string{
		"text": strings.Repeat("x", 1<<20), "encoded words": strings.Repeat("=?utf-8?q?=C3=A4?= ", 50_000), "comments": strings.Repeat("(", 1<<20),
		"addresses": strings.Repeat("a@example.org,", 70_000), "folds": strings.Repeat("\r\n x", 1<<18), "brackets": strings.Repeat("<", 1<<20), "wide": strings.Repeat("界", 300_000),
	} {
		t.Run(name, func(t *testing.T) {
			h := ReadHeading([]byte("From: " + fill + "\r\nSubject: " + fill + "\r\nDate: " + fill + "\r\nMessage-ID: " + fill + "\r\n\r\n"))
			for text, most := range map[string]int{h.From: maxAuthor, h.Subject: maxSubject, h.MessageID: maxMessageID} {
				if n := utf8.RuneCountInString(text); n > most {
					t.Errorf("%d characters, at most %d are kept: %q", n, most, text)
				}
			}
			if h.Subject == "" || !h.Date.IsZero() {
				t.Errorf("got %+v", h)
			}
		})
	}
}

// FuzzReadHeading: whatever a sender writes is valid UTF-8 of printable characters in one line, and reading it twice gives the same.
func FuzzReadHeading(f *testing.F) {
	f.Add([]byte("From: =?utf-8?q?=1B?= <a@b>\r\nSubject: \u202E\r\nDate: x\r\nMessage-ID: <\r\n\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		h := ReadHeading(head)
		if h != ReadHeading(head) {
			t.Error("it reads otherwise the second time")
		}
		for _, text := range []string{h.From, h.Subject, h.MessageID} {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
				return r != '\u00a0' && r != ' ' && (r < 0x20 || r == 0x7f || r == 0x202e || r == 0xfffd)
			}) {
				t.Errorf("%q", text)
			}
		}
	})
}

// BenchmarkReadHeading is what a message costs.
func BenchmarkReadHeading(b *testing.B) {
	head := []byte(strings.Repeat("Received: from a.example.org (a.example.org [192.0.2.1]) by b.example.org with ESMTPS id 1; Mon, 23 Nov 2026 14:15:00 +0100\r\n", 6) +
		"From: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>\r\nSubject: =?UTF-8?B?R3LDvA==?= and more\r\nDate: Mon, 23 Nov 2026 14:15:00 +0100\r\nMessage-ID: <1@example.org>\r\n\r\n")
	for b.Loop() {
		ReadHeading(head)
	}
}
