package ui

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// DryRun writes what the MTA would say of each message, as soon as it has said it: in columns, or where the writer's width matters, in
// a few lines for each message. It is safe for concurrent use.
type DryRun struct {
	mu   sync.Mutex
	w    io.Writer
	how  config.AddressDetail
	rows *rows // nil until there is one
	// listed are the folders of which not all messages were asked about, or in which something is to become of others.
	listed []transfer.Event
	// states counts the messages by what they would come to, in the order of first.
	states map[string]int
	first  []string
}

// NewDryRun returns a DryRun that writes to w, and names messages as log.addresses asks.
func NewDryRun(w io.Writer, how config.AddressDetail) *DryRun {
	return &DryRun{w: w, how: how, states: map[string]int{}}
}

// Add takes an event of a pass.
func (d *DryRun) Add(e transfer.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	said, state := "", e.State
	switch e.Kind {
	case transfer.Listed:
		if e.NotAsked+len(e.Disposals) > 0 {
			d.listed = append(d.listed, e)
		}
		return
	case transfer.Verdict:
		said = wouldSay(e)
	case transfer.NotRetrieved:
		said, state = "not asked: "+e.Err.Error(), "not fetched"
	default:
		return
	}
	if d.states[state]++; d.states[state] == 1 {
		d.first = append(d.first, state)
	}
	if columnsOf(d.w) > 0 {
		d.block(e, said)
		return
	}
	if d.rows == nil {
		d.rows = newRows(d.w, "ACCOUNT", "UID   ", "CLIENT         ", "NAME                    ", "HELO                    ", "THE MTA WOULD SAY       ", "MESSAGE")
	}
	shown := e.Receipt.Presented
	d.rows.row(e.Account, fetch.Sanitize(e.Ref.UID), presented(e.Receipt), orDash(shown.Name), orDash(shown.HELO), said, headingText(MaskHeading(e.Heading, d.how)))
}

// block writes which message it is, who the MTA was told that its client is, and what the MTA would say.
func (d *DryRun) block(e transfer.Event, said string) {
	name := e.Account + " " + orDash(e.Ref.UID)
	if heading := headingText(MaskHeading(e.Heading, d.how)); heading != "-" {
		name += "  " + heading
	}
	say(d.w, fetch.Printable(name))
	if client := presented(e.Receipt); client != "-" {
		shown := e.Receipt.Presented
		say(d.w, fmt.Sprintf("  client %s, name %s, HELO %s", client, orDash(shown.Name), orDash(shown.HELO)))
	}
	switch {
	case strings.HasPrefix(said, takeIt):
		said = "the MTA would " + said
	case e.Receipt.Reply.Code > 0:
		said = "the MTA would say " + said
	}
	say(d.w, "  "+fetch.Printable(said))
}

// takeIt begins what is said of a message that the MTA would take.
const takeIt = "take it"

// wouldSay is what the MTA would say of a message.
func wouldSay(e transfer.Event) string {
	said := reason("", e.Why)
	switch {
	case e.State == string(ledger.Delivered):
		return takeIt
	case e.State == string(ledger.PartlyRefused):
		return takeIt + ", but " + fetch.Sanitize(e.Why)
	case e.Receipt.Reply.Code > 0:
		return e.Receipt.Stage + " " + replyText(e.Receipt.Reply)
	case e.State == string(ledger.Held):
		return "not asked: " + said
	case e.Receipt.Err != nil:
		return e.Receipt.Err.Error()
	}
	return said
}

// End writes what a person should know beside the messages. newest is how many messages of each folder were to be asked about,
// complete says that nothing went wrong.
func (d *DryRun) End(newest int, complete bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := 0
	var parts []string
	for _, state := range d.first {
		n, word := d.states[state], state
		if state == string(ledger.Delivered) {
			word = "taken"
		}
		total += n
		parts = append(parts, fmt.Sprintf("%d %s", n, word))
	}
	switch {
	case total > 0:
		say(d.w, fmt.Sprintf("dry run of %s: %s", count(total, "message"), strings.Join(parts, ", ")))
	case complete:
		say(d.w, nothingNew)
	}
	for _, e := range d.listed {
		where := e.Account
		if e.Folder != "" {
			where += ", " + fetch.Sanitize(e.Folder)
		}
		if e.NotAsked > 0 {
			all := newest + e.NotAsked
			say(d.w, fmt.Sprintf("%s: only the newest %d of %d messages; --last %[3]d asks about all", where, newest, all))
		}
		became := map[string]int{}
		for disposal, n := range e.Disposals {
			became[disposalText(disposal)] += n
		}
		for _, text := range slices.Sorted(maps.Keys(became)) {
			say(d.w, fmt.Sprintf("%s: %s of earlier passes would be %s upstream", where, count(became[text], "message"), text))
		}
	}
}
