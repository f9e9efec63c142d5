package fetch_test

import (
	"errors"
	"fmt"

	"github.com/truehop/truehop/fetch"
)

// A server's words are shown in one line that cannot disturb a terminal.
func ExampleError() {
	err := error(&fetch.Error{
		Kind: fetch.Busy, Op: "PASS", Advice: "another session has the mailbox open",
		Text: fetch.Sanitize("[IN-USE] locked by\x1b[2J another session"),
	})
	fmt.Println(err)
	fmt.Println(fetch.KindOf(fmt.Errorf("account work: %w", err)))
	var e *fetch.Error
	if errors.As(err, &e) {
		fmt.Println(e.Advice)
	}
	// Output:
	// PASS: server said "[IN-USE] locked by?[2J another session"
	// busy
	// another session has the mailbox open
}

// What becomes of a message upstream is written as in the configuration.
func ExampleDisposal_UnmarshalText() {
	for _, text := range []string{"delete", "seen", "move:Archive/2026", "flag"} {
		var d fetch.Disposal
		if err := d.UnmarshalText([]byte(text)); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s: action %d, target %q\n", d, d.Action, d.Target)
	}
	// Output:
	// delete: action 1, target ""
	// seen: action 2, target ""
	// move:Archive/2026: action 3, target "Archive/2026"
	// flag needs a keyword: flag:KEYWORD
}
