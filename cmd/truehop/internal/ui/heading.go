package ui

import (
	"log/slog"
	"strings"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
)

// MaskHeading shortens what names a message as log.addresses asks: to the domain of its author, or to its date.
func MaskHeading(h ledger.Heading, how config.AddressDetail) ledger.Heading {
	switch how {
	case config.NoAddress:
		return ledger.Heading{Date: h.Date}
	case config.DomainOnly:
		if from := h.From; from != "" {
			h.From = "-" // a name alone is more than a domain
			if at := strings.LastIndexByte(from, '<'); at >= 0 {
				h.From = maskWithin(from[at:], how)
			}
		}
		h.Subject = maskWithin(h.Subject, how)
	}
	return h
}

// headingText names a message in a cell of a table: what it is about, and whose it is.
func headingText(h ledger.Heading) string {
	var parts []string
	if h.Subject != "" {
		parts = append(parts, `"`+h.Subject+`"`)
	}
	if h.From != "" && h.From != "-" {
		parts = append(parts, "from "+h.From)
	}
	if len(parts) == 0 && h.MessageID != "" {
		parts = append(parts, "<"+h.MessageID+">")
	}
	return orDash(strings.Join(parts, " "))
}

// headingAttrs name a message in the log. What it is about is personal, and stands in no log that does not have whole addresses.
func headingAttrs(h ledger.Heading, how config.AddressDetail) []slog.Attr {
	h = MaskHeading(h, how)
	if how != config.FullAddress {
		h.Subject = ""
	}
	var attrs []slog.Attr
	for _, part := range [...]struct{ key, text string }{{"from", h.From}, {"subject", h.Subject}, {"message-id", h.MessageID}} {
		if part.text != "" {
			attrs = append(attrs, slog.String(part.key, orDash(part.text)))
		}
	}
	return attrs
}

// headingJSON is how a message is named in JSON. Absent values are null.
type headingJSON struct {
	From      *string    `json:"from"`
	Subject   *string    `json:"subject"`
	Date      *time.Time `json:"date"`
	MessageID *string    `json:"message_id"`
}

func newHeadingJSON(h ledger.Heading) headingJSON {
	return headingJSON{orNil(h.From), orNil(h.Subject), moment(h.Date), orNil(h.MessageID)}
}
