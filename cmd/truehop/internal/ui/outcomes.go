package ui

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/received"
)

// Outcomes counts messages by what came of looking for their clients. The zero value is ready for use.
type Outcomes struct {
	counts map[received.Outcome]*outcomeCount
	found  int // messages with a client
	survey received.Survey
}

// leastFindings is the number of messages that are enough to tell a person who asked what they have in common.
const leastFindings = 1

// outcomeCount is how many messages an outcome covers, and one of them.
type outcomeCount struct {
	outcome  received.Outcome
	messages int
	example  string
	why      string
}

// Count counts a message, which goes by this name.
func (o *Outcomes) Count(name string, b received.Boundary) {
	if o.counts == nil {
		o.counts = map[received.Outcome]*outcomeCount{}
	}
	c := o.counts[b.Outcome]
	if c == nil {
		c = &outcomeCount{outcome: b.Outcome, example: name, why: b.Why}
		o.counts[b.Outcome] = c
	}
	c.messages++
	if b.Found {
		o.found++
	}
	o.survey.Add(b)
}

// neverTold says why, if of no message it can be told where it came from, else "".
func (o *Outcomes) neverTold() (why string) {
	for _, outcome := range slices.Sorted(maps.Keys(o.counts)) {
		switch c := o.counts[outcome]; outcome {
		case received.OutcomeNoPolicy, received.OutcomeForeign, received.OutcomeAmbiguous, received.OutcomeUnparseable:
			why = fetch.Sanitize(c.why)
		default:
			return ""
		}
	}
	return why
}

// Findings says what the messages have in common that points to a policy which misses a host.
func (o *Outcomes) Findings() []string { return o.survey.Findings(leastFindings) }

// Print writes how many messages came to which outcome, the most frequent first, and how many could not be
// fetched, and what they have in common.
func (o *Outcomes) Print(w io.Writer, failures int) {
	if len(o.counts) == 0 && failures == 0 {
		fmt.Fprintln(w, "the mailbox is empty")
		return
	}
	rows := slices.SortedFunc(maps.Values(o.counts), func(a, b *outcomeCount) int {
		return cmp.Or(cmp.Compare(b.messages, a.messages), cmp.Compare(a.outcome, b.outcome))
	})
	fmt.Fprintln(w)
	t := newTable(w, "OUTCOME", "MESSAGES", "FOR EXAMPLE", "WHY")
	for _, c := range rows {
		t.row(string(c.outcome), strconv.Itoa(c.messages), fetch.Sanitize(c.example), fetch.Sanitize(c.why))
	}
	if failures > 0 {
		t.row("not fetched", strconv.Itoa(failures), "", "")
	}
	t.flush()
	for _, finding := range o.Findings() {
		say(w, "\nwarning: "+fetch.Printable(finding))
	}
}
