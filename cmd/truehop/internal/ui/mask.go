package ui

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
)

// mask shortens a mail address as log.addresses asks.
func mask(address string, how config.AddressDetail) string {
	at := strings.LastIndexByte(address, '@')
	switch {
	case how == config.NoAddress:
		return "-"
	case how == config.DomainOnly && at >= 0:
		return "<..." + fetch.Sanitize(address[at:])
	}
	return fetch.Sanitize(address)
}

// maskedText shortens addresses where a peer's words are logged: an MTA that refuses a recipient names it. Why is in
// our words and says which of our own recipients a message missed, so only "none" takes their addresses out.
func maskedText(how config.AddressDetail) func([]string, slog.Attr) slog.Attr {
	return func(_ []string, a slog.Attr) slog.Attr {
		why := a.Key == "why" && how == config.NoAddress
		said := slices.Contains([]string{"reply", "error", "boundary"}, a.Key)
		if a.Value.Kind() != slog.KindString {
			return a
		}
		if why || said {
			a.Value = slog.StringValue(maskWithin(a.Value.String(), how))
		}
		return a
	}
}

// maskWithin shortens all that looks like a mail address in a text, as log.addresses asks.
func maskWithin(text string, how config.AddressDetail) string {
	if how != config.NoAddress && how != config.DomainOnly {
		return text
	}
	var b strings.Builder
	for {
		at := strings.IndexByte(text, '@')
		if at < 0 {
			b.WriteString(text)
			return b.String()
		}
		start := strings.LastIndexAny(text[:at], " \t<>(),;:\"[]") + 1 // of the local part
		if quoted, ok := strings.CutSuffix(text[:at], `"`); ok {
			start = max(strings.LastIndexByte(quoted, '"'), 0)
		}
		end := at + 1
		if n := strings.IndexAny(text[end:], " \t<>(),;\"'"); n >= 0 {
			end += n
		} else {
			end = len(text)
		}
		end = at + 1 + len(strings.TrimRight(text[at+1:end], ":.!?"))
		b.WriteString(text[:start])
		switch {
		case start == at: // no address
			b.WriteString(text[at:end])
		case how == config.NoAddress:
			b.WriteByte('-')
		default:
			b.WriteString("..." + text[strings.LastIndexByte(text[:end], '@'):end])
		}
		text = text[end:]
	}
}
