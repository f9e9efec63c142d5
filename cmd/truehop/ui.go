package main

// Every word for a person is in this file. What goes where:
//   - what was asked for goes to standard output; everything else to standard error;
//   - an error is one line, "truehop: what is wrong", and below it "  what to do about it";
//   - the log is for machines and greps: one line per event, in log.go.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// complain tells an error that ends the program.
func complain(w io.Writer, err error) {
	var outcome *outcomeError
	if errors.As(err, &outcome) {
		return // told already, line by line
	}
	var conf *config.Error
	if errors.As(err, &conf) && !(len(conf.Problems) == 1 && conf.Problems[0].Source == "") {
		fmt.Fprintf(w, "truehop: the configuration is refused:\n%s\n", conf.Error())
		return
	}
	fmt.Fprintf(w, "truehop: %v\n", err)
	var usage *usageError
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") {
		fmt.Fprintln(w, "  truehop --help tells the commands, truehop COMMAND --help their flags")
		return
	}
	if h := hint(err); h != "" {
		fmt.Fprintf(w, "  %s\n", h)
	}
}

// hintedError is an error with something better to do about it.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// suggestOwner adds to an error about a directory of another user's the command to type instead.
func suggestOwner(err error, args []string) error {
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

// hint returns what a person may do about an error, or "".
func hint(err error) string {
	var up *fetch.Error
	var mta *inject.Error
	var pass *transfer.Error
	var record *ledger.Error
	var hinted *hintedError
	switch {
	case errors.As(err, &hinted):
		return hinted.hint
	case errors.As(err, &pass):
		return pass.Hint
	case errors.As(err, &record):
		return record.Hint
	case errors.As(err, &up):
		return up.Hint
	case errors.As(err, &mta):
		return mta.Hint
	}
	return ""
}

// table writes rows in columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, heads ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(heads...)
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

func (t table) flush() { _ = t.w.Flush() }

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

// presented is the client's address as the MTA was told it.
func presented(r inject.Receipt) string {
	switch {
	case r.Stage == "":
		return "-" // it was not asked
	case !r.Presented.Addr.IsValid():
		return "unavailable"
	}
	return r.Presented.Addr.String()
}

func orUnknown(s string) string {
	if s == "" {
		return "-"
	}
	return s
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
func recordReason(r ledger.Record) string {
	text := reason(r.Reply, r.Why)
	for _, v := range r.Verdicts {
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

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// cut shortens s to n runes for a table.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// drySaid is what the MTA would say of one message.
func drySaid(e transfer.Event) string {
	switch {
	case e.State == string(ledger.Delivered):
		return "take it"
	case e.State == string(ledger.PartlyRefused):
		return "take it, but " + fetch.Sanitize(e.Why)
	case e.Receipt.Reply.Code > 0:
		return e.Receipt.Stage + " " + replyText(e.Receipt.Reply)
	case e.State == string(ledger.Held):
		return "not asked: " + reason("", e.Why)
	case e.Receipt.Err != nil:
		return e.Receipt.Err.Error()
	}
	return e.Why
}

// print writes what the MTA would say of every message.
func (t *dryTable) print(w io.Writer) {
	slices.SortFunc(t.events, func(a, b transfer.Event) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Ref.Folder, b.Ref.Folder), cmp.Compare(a.Ref.Seq, b.Ref.Seq))
	})
	out := newTable(w, "ACCOUNT", "UID", "CLIENT", "NAME", "HELO", "THE MTA WOULD SAY")
	for _, e := range t.events {
		shown := e.Receipt.Presented
		out.row(e.Account, fetch.Sanitize(e.Ref.UID), presented(e.Receipt), orUnknown(fetch.Sanitize(shown.Name)), orUnknown(fetch.Sanitize(shown.HELO)), drySaid(e))
	}
	out.flush()
}
