package ui

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
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

// The demo is as wide as the narrowest terminal.
const (
	demoColumns = 80
	demoIndent  = "          "
	// thisHost is the client of all mail that a fetcher injects without a word about it.
	thisHost = "127.0.0.1"
)

// PrintDemo writes of every message, by account, folder and message, which it is, who its client would be to the MTA and who it is, and what the MTA said.
// describe says what is special about the n-th message of an account.
func (v *Verdicts) PrintDemo(w io.Writer, color bool, describe func(account string, n uint32) string) {
	paint := func(sgr, text string) string {
		if !color {
			return text
		}
		return sgr + text + sgrReset
	}
	columns := demoColumns - len(demoIndent)
	v.mu.Lock()
	sorted := slices.SortedStableFunc(slices.Values(v.events), func(a, b transfer.Event) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Ref.Folder, b.Ref.Folder), cmp.Compare(a.Ref.Seq, b.Ref.Seq))
	})
	v.mu.Unlock()
	for _, e := range sorted {
		for i, line := range wrapped(headingText(e.Heading), columns) {
			first := demoIndent
			if i == 0 {
				first = paint(sgrBold, fmt.Sprintf("%-*s", len(demoIndent), e.Account))
			}
			fmt.Fprintln(w, first+line)
		}
		client := presented(e.Receipt) + " " + cmp.Or(fetch.Sanitize(e.Receipt.Presented.Name), "without a name") + ": " + describe(e.Account, e.Ref.Seq)
		for i, line := range wrapped(thisHost+" -> "+client, columns) {
			if rest, found := strings.CutPrefix(line, thisHost); found && i == 0 {
				line = paint(sgrDim, thisHost) + rest
			}
			fmt.Fprintln(w, demoIndent+line)
		}
		for i, line := range wrapped(e.State+": "+v.fate(e), columns) {
			if rest, found := strings.CutPrefix(line, e.State); found && i == 0 {
				colours := map[ledger.State]string{ledger.Delivered: sgrGreen, ledger.Deferred: sgrBold}
				line = paint(cmp.Or(colours[ledger.State(e.State)], sgrRed), e.State) + rest
			}
			fmt.Fprintln(w, demoIndent+line)
		}
	}
}

// fate says why a message has its state, and what became of it upstream.
func (v *Verdicts) fate(e transfer.Event) string {
	upstream := cmp.Or(v.upstream[e.Token], "kept") + " upstream"
	switch {
	case e.State == string(ledger.Delivered): // under an id that is another one each time
		return upstream
	case e.Receipt.Reply.Code == 0:
		return "not asked, " + reason("", e.Why) + "; " + upstream
	}
	return replyText(e.Receipt.Reply) + "; " + upstream
}
