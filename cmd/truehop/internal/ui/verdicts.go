package ui

import (
	"cmp"
	"io"
	"slices"
	"sync"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// Verdicts collects the verdicts of passes, for one table at their end. It is safe for concurrent use.
type Verdicts struct {
	mu       sync.Mutex
	events   []transfer.Event
	upstream map[string]string // what became of a message there, by its Truehop-ID
}

// Add takes an event of a pass.
func (v *Verdicts) Add(e transfer.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Kind {
	case transfer.Verdict:
		v.events = append(v.events, e)
	case transfer.Settled:
		if v.upstream == nil {
			v.upstream = map[string]string{}
		}
		v.upstream[e.Token] = disposalText(e.Disposal)
	}
}

// Len is the number of verdicts.
func (v *Verdicts) Len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.events)
}

// sorted returns the verdicts by account, folder and message.
func (v *Verdicts) sorted() []transfer.Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(v.events), func(a, b transfer.Event) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Ref.Folder, b.Ref.Folder), cmp.Compare(a.Ref.Seq, b.Ref.Seq))
	})
}

// PrintDryRun writes what the MTA would say of every message.
func (v *Verdicts) PrintDryRun(w io.Writer) {
	out := newTable(w, "ACCOUNT", "UID", "CLIENT", "NAME", "HELO", "THE MTA WOULD SAY")
	for _, e := range v.sorted() {
		shown := e.Receipt.Presented
		said := reason("", e.Why)
		switch {
		case e.State == string(ledger.Delivered):
			said = "take it"
		case e.State == string(ledger.PartlyRefused):
			said = "take it, but " + fetch.Sanitize(e.Why)
		case e.Receipt.Reply.Code > 0:
			said = e.Receipt.Stage + " " + replyText(e.Receipt.Reply)
		case e.State == string(ledger.Held):
			said = "not asked: " + said
		case e.Receipt.Err != nil:
			said = e.Receipt.Err.Error()
		}
		out.row(e.Account, fetch.Sanitize(e.Ref.UID), presented(e.Receipt), orDash(shown.Name), orDash(shown.HELO), said)
	}
	out.flush()
}

// PrintDemo writes what the MTA said of every message and what became of it upstream. describe says what is
// special about the n-th message of an account.
func (v *Verdicts) PrintDemo(w io.Writer, describe func(account string, n uint32) string) {
	t := newTable(w, "MAILBOX", "MESSAGE", "CLIENT", "NAME", "HELO", "THE MTA SAYS", "UPSTREAM")
	for _, e := range v.sorted() {
		shown := e.Receipt.Presented
		said := replyText(e.Receipt.Reply)
		if e.Receipt.Reply.Code == 0 {
			said = "not asked, " + reason("", e.Why)
		}
		if r := []rune(said); len(r) > 84 {
			said = string(r[:83]) + "…"
		}
		t.row(e.Account, describe(e.Account, e.Ref.Seq), presented(e.Receipt), orDash(shown.Name), orDash(shown.HELO),
			e.State+": "+said, cmp.Or(v.upstream[e.Token], "kept"))
	}
	t.flush()
}
