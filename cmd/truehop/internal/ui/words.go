// Package ui formats tables, log lines, JSON, errors and progress. A command prints its own confirmation of a
// line, and package app writes the mail to the postmaster. What goes where:
//   - what was asked for goes to standard output; everything else to standard error;
//   - an error is one line, "truehop: what is wrong", and below it "  what to do about it";
//   - the log has one line for each event of a closed list, the methods of [Log];
//   - with --json each line is an object whose keys do not change, and absent values are null.
//
// It is given values and asks nobody for more.
package ui

import (
	"fmt"
	"io"
	"strings"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// disposalText says in a word or two what became of a message upstream.
func disposalText(d fetch.Disposal) string {
	switch d.Action {
	case fetch.Delete:
		return "deleted"
	case fetch.Move:
		return "moved to " + fetch.Sanitize(d.Target)
	case fetch.Flag:
		if d.Target == "" {
			return `flagged \Seen`
		}
		return "flagged " + fetch.Sanitize(d.Target)
	}
	return "kept"
}

// presented is the address of the client that was presented to the MTA, "-" where none was.
func presented(r inject.Receipt) string {
	switch {
	case r.Presented.Addr.IsValid():
		return r.Presented.Addr.String()
	case r.ClientGiven:
		return "unavailable"
	}
	return "-"
}

// orDash makes a text of a stranger's fit for a table; one that is empty shows as "-".
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return fetch.Sanitize(s)
}

// replyText is a reply in one line.
func replyText(r inject.Reply) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text)), " ")
}

// maxReasons bounds the parts of a reason. Each is bounded by itself, so that a long one takes no room from
// what can be done about it.
const maxReasons = 8

// reason is why a message stands as it does: the MTA's reply, and what is to be known beside it.
func reason(reply, why string) string {
	if reply != "" && why != "" {
		reply += "; "
	}
	parts := strings.SplitN(reply+why, "; ", maxReasons)
	for i, part := range parts {
		parts[i] = fetch.Sanitize(part)
	}
	return strings.Join(parts, "; ")
}

// recordReason is reason for a record, with what the MTA said of each recipient that does not have the message.
func recordReason(reply, why string, verdicts []ledger.Verdict) string {
	text := reason(reply, why)
	for _, v := range verdicts {
		if v.State != ledger.Delivered {
			text += "; " + fetch.Sanitize(v.String())
		}
	}
	return strings.TrimPrefix(text, "; ")
}

// count puts a number before a word: "1 account", "2 accounts".
func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// PrintAwaited says to a person who has pressed Ctrl-C why the program goes on, over the ^C that the terminal shows.
func PrintAwaited(w io.Writer, messages int) {
	fmt.Fprintf(w, "\rwaiting for the MTA's reply about %s; press Ctrl-C again to stop now\n", count(messages, "message"))
}

// PrintServing says to a person who has started the service at a terminal what it does and how it ends.
func PrintServing(w io.Writer, accounts int) {
	whose := "their schedules"
	if accounts == 1 {
		whose = "its schedule"
	}
	fmt.Fprintf(w, "serving %s by %s; Ctrl-C ends it, and a pass in progress ends cleanly\n", count(accounts, "account"), whose)
}

// PrintServed says to that person that it has ended.
func PrintServed(w io.Writer) {
	fmt.Fprint(w, "ended; truehop status tells how the accounts stand\n")
}

// List joins names, or says that there are none.
func List(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
