package fetch

import (
	"fmt"
	"strings"
)

// DeliveredKeyword is the IMAP keyword (RFC 9051 section 2.3.2) that marks a message which was delivered: the
// upstream's own record, which no loss here takes away.
const DeliveredKeyword = "$TruehopDelivered"

// The verbs of a disposal as it stands in text. "seen" is Flag without a keyword.
const (
	verbKeep   = "keep"
	verbDelete = "delete"
	verbSeen   = "seen"
	verbFlag   = "flag"
	verbMove   = "move"
)

// Words returns the forms that UnmarshalText reads.
func (Disposal) Words() []string {
	return []string{verbKeep, verbDelete, verbSeen, verbFlag + ":KEYWORD", verbMove + ":FOLDER"}
}

// String returns the form that UnmarshalText reads.
func (d Disposal) String() string {
	switch d.Action {
	case Delete:
		return verbDelete
	case Flag:
		if d.Target == "" {
			return verbSeen
		}
		return verbFlag + ":" + d.Target
	case Move:
		return verbMove + ":" + d.Target
	}
	return verbKeep
}

// MarshalText returns the form that UnmarshalText reads.
func (d Disposal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads keep, delete, seen, flag:KEYWORD or move:FOLDER.
func (d *Disposal) UnmarshalText(text []byte) error {
	verb, target, colon := strings.Cut(string(text), ":")
	made := Disposal{Target: target}
	switch verb {
	case verbKeep:
		made.Action = Keep
	case verbDelete:
		made.Action = Delete
	case verbSeen, verbFlag:
		made.Action = Flag
	case verbMove:
		made.Action = Move
	default:
		return fmt.Errorf("unknown value %.60q; want one of %s", text, strings.Join(d.Words(), ", "))
	}
	// An IMAP flag-keyword (RFC 9051 section 9) that no server stumbles over.
	odd := strings.Trim(target, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$-_.")
	isKeyword := odd == "" && len(target) <= 64
	switch wants := verb == verbFlag || verb == verbMove; {
	case verb == verbFlag && target == "":
		return fmt.Errorf("%s needs a keyword: %s:KEYWORD", verb, verb)
	case verb == verbMove && target == "":
		return fmt.Errorf("%s needs a folder: %s:FOLDER", verb, verb)
	case !wants && colon:
		return fmt.Errorf("%q takes nothing behind it; write %s alone", verb, verb)
	case verb == verbFlag && !isKeyword:
		return fmt.Errorf("%.60q is no IMAP keyword; use letters, digits and $-_. only", target)
	case strings.ContainsFunc(target, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return fmt.Errorf("what is behind %s: holds a control character; remove it", verb)
	}
	*d = made
	return nil
}
