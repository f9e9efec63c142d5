package transfer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// Refusal is what becomes of a message that the MTA refused for good: Pass.OnRefused and Pass.Quarantine as one
// value of a configuration.
type Refusal struct {
	// Disposal is what becomes of it upstream: Keep, Delete or Move.
	Disposal fetch.Disposal
	// Quarantine is the address that it is delivered to instead; it then goes the way of what was delivered.
	Quarantine string
}

// verbQuarantine begins the form of a Refusal that a [fetch.Disposal] does not have.
const verbQuarantine = "quarantine"

// Words returns the forms that UnmarshalText reads.
func (Refusal) Words() []string {
	return []string{"keep", "delete", "move:FOLDER", verbQuarantine + ":ADDRESS"}
}

// String returns the form that UnmarshalText reads.
func (r Refusal) String() string {
	if r.Quarantine != "" {
		return verbQuarantine + ":" + r.Quarantine
	}
	return r.Disposal.String()
}

// MarshalText returns the form that UnmarshalText reads.
func (r Refusal) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads keep, delete, move:FOLDER or quarantine:ADDRESS. It does not look whether ADDRESS is one.
func (r *Refusal) UnmarshalText(text []byte) error {
	verb, target, _ := strings.Cut(string(text), ":")
	if verb != verbQuarantine {
		var d fetch.Disposal
		err := d.UnmarshalText(text)
		switch {
		case err == nil && d.Action == fetch.Flag:
			return fmt.Errorf("unknown value %.60q; want one of %s", text, strings.Join(r.Words(), ", "))
		case err != nil:
			return err
		}
		*r = Refusal{Disposal: d}
		return nil
	}
	switch {
	case target == "":
		return fmt.Errorf("%s needs an address: %s:ADDRESS", verb, verb)
	case strings.ContainsFunc(target, func(c rune) bool { return c < 0x20 || c == 0x7f }):
		return errors.New("the address holds a control character; remove it")
	}
	*r = Refusal{Quarantine: target}
	return nil
}
