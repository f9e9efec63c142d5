package ui

import (
	"encoding/json"
	"io"
	"net/netip"
	"time"
)

// printJSON writes one object and a line end.
func printJSON(w io.Writer, object any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(object)
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
