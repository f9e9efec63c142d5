package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// printJSON writes one object and a line end.
func printJSON(w io.Writer, object any) error {
	encoder := json.NewEncoder(escaped{w})
	encoder.SetEscapeHTML(false)
	return encoder.Encode(object)
}

// escaped writes JSON with what could disturb a terminal as escapes: C1 controls and marks that turn the
// direction of text are octets like any other to an encoder, and a person may read what a script was meant to.
type escaped struct{ w io.Writer }

// Write takes whole lines of JSON, in which nothing but strings has other characters than ASCII.
func (e escaped) Write(line []byte) (int, error) {
	out := make([]byte, 0, len(line))
	for _, r := range string(line) {
		switch {
		case r == '\n', strconv.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	if _, err := e.w.Write(out); err != nil {
		return 0, err
	}
	return len(line), nil
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func addrOrNil(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	return orNil(a.String())
}

// moment is a time that may be absent.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
