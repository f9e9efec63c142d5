package transfer

import (
	"testing"
	"time"
)

// TestNoticeInThePlaceOfAMessage: what Exchange shows where it cannot convert a message, or Courier where it cannot open it, is not taken
// for the message.
func TestNoticeInThePlaceOfAMessage(t *testing.T) {
	const (
		from   = "MIME-Version: 1.0\r\nFrom: Microsoft Exchange Server 2010\r\nTo: Kim <kim@example.org>\r\n"
		notice = "Subject: Retrieval using the IMAP4 protocol failed for the following\r\n message: 20004\r\n"
		// The header that Courier 1.0.16 writes.
		courier = "From: System Administrator <root@localhost>\r\nSubject: message unavailable\r\n"
		hop     = "Received: from mx.example.net (mx.example.net [192.0.2.1]) by mail.example.org; Fri, 27 Nov 2026 00:00:00 +0000\r\n"
	)
	for _, test := range []struct {
		name, head string
		held       bool
	}{
		{"by IMAP", from + notice, true},
		{"by POP3", from + "Subject: Retrieval using the POP3 protocol failed for the following message: 3\r\n", true},
		{"on a longer line", "Subject:  Retrieval using the IMAP4 protocol failed for the following message: 3\r\n" + from, true},
		{"sent by mail", hop + from + notice, false},
		{"an answer to one", from + "Subject: Re: Retrieval using the IMAP4 protocol failed for the following message: 3\r\n", false},
		{"about something else", from + "Subject: Retrieval using the bus\r\n", false},
		{"no subject", from, false},
		{"Courier's", courier, true},
		{"Courier's, sent by mail", hop + courier, false},
		{"its subject", from + "Subject: message unavailable\r\n", false},
		{"its sender", "From: System Administrator <root@localhost>\r\nSubject: message unavailable today\r\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			reading := (&Reader{}).Read([]byte(test.head), time.Now())
			if held := reading.Run.Treatment == HeldBack && reading.Run.Why == whySubstitute; held != test.held {
				t.Errorf("it is %v: %s", reading.Run.Treatment, reading.Run.Why)
			}
		})
	}
}
