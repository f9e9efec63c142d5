package received

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"Mon, 15 Jan 2024 10:00:00 +0100 (CET)", "2024-01-15T09:00:00Z"},
		{" 15 Jan 2024 10:00:00 -0000", "2024-01-15T10:00:00Z"},
		{"Mon, 15 Jan 2024 02:00:00 -0800 (PST)", "2024-01-15T10:00:00Z"},
		{"Mon, 15 Jan 2024 02:00:00 PST", "2024-01-15T10:00:00Z"},
		{"Mon Jan 15 10:00:00 2024", "2024-01-15T10:00:00Z"},
		{"Tue, Mar 18 1997 14:36:17 -0800 (PST)", "1997-03-18T22:36:17Z"},
		{"15 Jan 24 10:00 GMT", "2024-01-15T10:00:00Z"},
		{"15 Jan 97 10:00 EDT", "1997-01-15T14:00:00Z"},
		{"2024-01-15 10:00:00.270951634 +0000 UTC", "2024-01-15T10:00:00Z"},
		{"Mon, 15 Jan 2024 10:00:00 +0000 id 77", "2024-01-15T10:00:00Z"},
		{"Mon, 15 Jan 2024", ""}, {"10:00:00", ""}, {"", ""}, {"yesterday", ""}, {"32 Jan 2024 10:00:00", ""},
		{"15 Foo 2024 10:00:00", ""}, {"15 Jan 2024 25:00:00", ""}, {"15 Jan 99999999999 10:00", ""}, {"2024-99-15 10:00:00", ""},
	} {
		got := ""
		if d, _ := parseTime(tt.in); !d.IsZero() {
			got = d.Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("parseTime(%q) is %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestDateOfTheSendersOwn puts a date into the sender, which sendmail of FreeBSD's writes behind the
// writer's date, and Exim before it. The message must not look as old as its sender likes.
func TestDateOfTheSendersOwn(t *testing.T) {
	const mine, his = "; Mon, 15 Jan 2024 10:00:00 +0000", "; Mon, 1 Jan 2001 10:00:00 +0000"
	seen := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, field string
		want        time.Time
	}{
		{"behind the date", "from x (mail.example.com [192.0.2.10]) by mx.example.org (8.17.1/8.17.1) with ESMTP id 4B" + mine + ` (envelope-from "a)` + his + ` (b"@example.com)`, time.Time{}},
		{"before it", `from mail.example.com ([192.0.2.10]) by mx.example.org with esmtp (Exim 4.96) (envelope-from <"a)` + his + ` (b"@example.com>) id 1rPAbc-0001xY-2z` + mine, time.Time{}},
		{"an honest sender", "from x (mail.example.com [192.0.2.10]) by mx.example.org (8.17.1/8.17.1) with ESMTP id 4B" + mine + " (envelope-from a@example.com)", seen},
		{"a date in the HELO", "from x" + his + " (mail.example.com [192.0.2.10]) by mx.example.org (Postfix) with ESMTP id 4B" + mine, seen},
		{"a semicolon that begins no date", "from x ([192.0.2.10]) by mx.example.org with ESMTP id 4B; for <user@example.org>" + mine, seen},
	} {
		if h := Parse([]byte(tt.field)); !h.Time.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, h.Time, tt.want)
		}
	}
}
