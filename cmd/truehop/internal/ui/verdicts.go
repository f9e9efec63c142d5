package ui

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/truehop/truehop/fetch"
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

// sorted returns the verdicts by account, folder and message.
func (v *Verdicts) sorted() []transfer.Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(v.events), func(a, b transfer.Event) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Ref.Folder, b.Ref.Folder), cmp.Compare(a.Ref.Seq, b.Ref.Seq))
	})
}

// The demo is as wide as the narrowest terminal.
const (
	demoColumns = 80
	demoIndent  = "          "
)

// PrintDemo writes what the MTA said of every message and what became of it upstream. describe says what is
// special about the n-th message of an account.
func (v *Verdicts) PrintDemo(w io.Writer, describe func(account string, n uint32) string) {
	for _, e := range v.sorted() {
		shown := e.Receipt.Presented
		said := replyText(e.Receipt.Reply)
		if e.Receipt.Reply.Code == 0 {
			said = "not asked, " + reason("", e.Why)
		}
		client := presented(e.Receipt)
		if shown.Name != "" {
			client += " " + fetch.Sanitize(shown.Name)
		}
		fmt.Fprintf(w, "%-9s %s, from %s\n", e.Account, describe(e.Account, e.Ref.Seq), client)
		for _, line := range wrapped(e.State+": "+said+"; "+cmp.Or(v.upstream[e.Token], "kept")+" upstream", demoColumns-len(demoIndent)) {
			fmt.Fprintln(w, demoIndent+line)
		}
	}
}
