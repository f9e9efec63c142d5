package transfer

import (
	"mime"
	"strings"

	"github.com/emersion/go-message/charset"
	"github.com/emersion/go-message/mail"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

const (
	// maxHeadingField bounds in octets what is decoded of one field: a sender may write any number.
	maxHeadingField = 2 << 10
	// maxAuthor, maxSubject and maxMessageID bound in characters what is kept. An identifier is of use only if it is whole.
	maxAuthor    = 100
	maxSubject   = 120
	maxMessageID = 250
)

// ReadHeading reads what a message says of itself (RFC 5322 sections 3.6.1, 3.6.2, 3.6.4 and 3.6.5), decoded (RFC 2047),
// bounded, and fit to be shown in one line. What cannot be read is left out; nothing is decided by it.
func ReadHeading(head []byte) ledger.Heading {
	var h mail.Header
	for _, name := range []string{"From", "Subject", "Date", "Message-ID"} {
		if value := values(head, name, 1); len(value) > 0 {
			h.Set(name, value[0][:min(len(value[0]), maxHeadingField)])
		}
	}
	date, err := h.Date()
	if err != nil || date.Year() < 1970 || date.Year() > 9999 { // what JSON and the ledger can hold
		date = ledger.Heading{}.Date
	}
	id, err := h.MessageID()
	if err != nil {
		id = strings.Trim(h.Get("Message-ID"), "<> ")
	}
	from := decoded(h.Get("From")) // as it is, where it cannot be taken apart
	if list, err := h.AddressList("From"); err == nil && len(list) > 0 {
		from = "<" + list[0].Address + ">"
		if name := strings.TrimSpace(decoded(list[0].Name)); name != "" { // some mailers encode a word in quotes
			from = name + " " + from
		}
		if len(list) > 1 {
			from += " and others"
		}
	}
	return ledger.Heading{
		From: oneLine(from, maxAuthor), Subject: oneLine(decoded(h.Get("Subject")), maxSubject),
		MessageID: oneLine(id, maxMessageID), Date: date,
	}
}

// decoded returns a text without its encoded words (RFC 2047). A character set that is not known leaves them as they are.
func decoded(text string) string {
	words := mime.WordDecoder{CharsetReader: charset.Reader}
	if plain, err := words.DecodeHeader(text); err == nil {
		return plain
	}
	return text
}

// oneLine makes a text fit to be shown, in at most so many characters, with single blanks.
func oneLine(text string, most int) string {
	shown := []rune(strings.Join(strings.Fields(fetch.Printable(text)), " "))
	if len(shown) > most {
		return string(shown[:most-1]) + "…"
	}
	return string(shown)
}
