package transfer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The rules that have a closed set of values, and the words for them. A configuration holds the types
// themselves: a new value is a constant and its word.

// Words returns the configuration word of each constant, indexed by its value.
func (NoClient) Words() []string {
	return []string{PresentStandIn: "present", SendPlain: "plain", Hold: "hold", Skip: "skip", PresentUnavailable: "unavailable"}
}

// Words returns the configuration word of each constant, indexed by its value.
func (Submission) Words() []string {
	return []string{SubmissionRelay: "relay", SubmissionClient: "client", SubmissionUnavailable: "unavailable"}
}

// Words returns the configuration word of each constant, indexed by its value.
func (NameSource) Words() []string { return []string{RecordedName: "recorded", LookedUpName: "lookup"} }

// Words returns the fields that a recipient can be taken from.
func (RecipientField) Words() []string {
	return []string{"delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", string(ReceivedFor)}
}

// String, MarshalText and UnmarshalText speak in those words.

func (n NoClient) String() string                { return word(n) }
func (n NoClient) MarshalText() ([]byte, error)  { return []byte(word(n)), nil }
func (n *NoClient) UnmarshalText(b []byte) error { return setByWord(n, b) }

func (s Submission) String() string                { return word(s) }
func (s Submission) MarshalText() ([]byte, error)  { return []byte(word(s)), nil }
func (s *Submission) UnmarshalText(b []byte) error { return setByWord(s, b) }

func (n NameSource) String() string                { return word(n) }
func (n NameSource) MarshalText() ([]byte, error)  { return []byte(word(n)), nil }
func (n *NameSource) UnmarshalText(b []byte) error { return setByWord(n, b) }

func (f RecipientField) MarshalText() ([]byte, error) { return []byte(f), nil }
func (f *RecipientField) UnmarshalText(b []byte) error {
	i, err := index(f.Words(), b)
	if err == nil {
		*f = RecipientField(f.Words()[i])
	}
	return err
}

// choice is a rule whose values are words.
type choice interface {
	~uint8
	Words() []string
}

// word returns the word for v, or its number where it is no constant.
func word[T choice](v T) string {
	if words := v.Words(); int(v) < len(words) {
		return words[v]
	}
	return strconv.Itoa(int(v))
}

// setByWord sets v to the constant that text is the word for.
func setByWord[T choice](v *T, text []byte) error {
	i, err := index((*v).Words(), text)
	if err == nil {
		*v = T(i)
	}
	return err
}

func index(words []string, text []byte) (int, error) {
	i := slices.Index(words, string(text))
	if i < 0 {
		return i, fmt.Errorf("unknown value %.60q; want one of %s", text, strings.Join(words, ", "))
	}
	return i, nil
}
