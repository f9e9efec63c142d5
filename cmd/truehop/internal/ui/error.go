package ui

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// PrintError says what ended the program: one line, and below it what to do about it.
func PrintError(w io.Writer, err error) {
	var conf *config.Error
	// A configuration that is not there, or a file that it names, is a single problem without a place.
	inText := errors.As(err, &conf) && !(len(conf.Problems) == 1 && conf.Problems[0].Source == "")
	if inText {
		say(w, "truehop: the configuration is refused:\n"+conf.Error())
		return
	}
	say(w, "truehop: "+lines(err.Error()))
	if h := Hint(err); h != "" {
		say(w, "  "+lines(h))
	}
}

// lines makes each line of a text fit to be shown: a stranger may have written a part of it.
func lines(text string) string {
	all := strings.Split(text, "\n")
	for i, line := range all {
		all[i] = fetch.Printable(line)
	}
	return strings.Join(all, "\n")
}

// hintedError is an error with something better to do about it.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// Hint says what to do about it.
func (e *hintedError) Hint() string { return e.hint }

// SuggestOwner adds to an error about a directory of another user's the command to type instead.
func SuggestOwner(err error, args []string) error {
	var record *ledger.Error
	if !errors.As(err, &record) || record.Owner == "" {
		return err
	}
	words := []string{"run it as that user: sudo -u", quote(record.Owner), "truehop"}
	for _, a := range args {
		words = append(words, quote(a))
	}
	return &hintedError{err, strings.Join(words, " ")}
}

// quote quotes a word for a shell where that is needed.
func quote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@%+,"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Hint returns what to do about an error, by the first in each chain of causes that says so, or "". Where several
// errors were joined, each may say something else.
func Hint(err error) string {
	if e, ok := err.(interface{ Hint() string }); ok && e.Hint() != "" {
		return e.Hint()
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return Hint(e.Unwrap())
	case interface{ Unwrap() []error }:
		var hints []string
		for _, cause := range e.Unwrap() {
			if hint := Hint(cause); hint != "" && !slices.Contains(hints, hint) {
				hints = append(hints, hint)
			}
		}
		return strings.Join(hints, "; ")
	}
	return ""
}
