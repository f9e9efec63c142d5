package ui

import (
	"fmt"
	"io"
	"sync"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// DryRun writes what the MTA would say of each message, as soon as it has said it. It is safe for concurrent use.
type DryRun struct {
	mu   sync.Mutex
	w    io.Writer
	how  config.AddressDetail
	rows *rows // nil until there is one
	// limited are the folders of which not all messages were asked about.
	limited []transfer.Event
}

// NewDryRun returns a DryRun that writes to w, and names messages as log.addresses asks.
func NewDryRun(w io.Writer, how config.AddressDetail) *DryRun { return &DryRun{w: w, how: how} }

// Add takes an event of a pass.
func (d *DryRun) Add(e transfer.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	said := ""
	switch e.Kind {
	case transfer.Listed:
		if e.NotAsked > 0 {
			d.limited = append(d.limited, e)
		}
		return
	case transfer.Verdict:
		said = wouldSay(e)
	case transfer.NotRetrieved:
		said = "not asked: " + e.Err.Error()
	default:
		return
	}
	if d.rows == nil {
		d.rows = newRows(d.w, "ACCOUNT", "UID   ", "CLIENT         ", "NAME                    ", "HELO                    ", "THE MTA WOULD SAY       ", "MESSAGE")
	}
	shown := e.Receipt.Presented
	d.rows.row(e.Account, fetch.Sanitize(e.Ref.UID), presented(e.Receipt), orDash(shown.Name), orDash(shown.HELO), said, headingText(MaskHeading(e.Heading, d.how)))
}

// wouldSay is what the MTA would say of a message.
func wouldSay(e transfer.Event) string {
	said := reason("", e.Why)
	switch {
	case e.State == string(ledger.Delivered):
		return "take it"
	case e.State == string(ledger.PartlyRefused):
		return "take it, but " + fetch.Sanitize(e.Why)
	case e.Receipt.Reply.Code > 0:
		return e.Receipt.Stage + " " + replyText(e.Receipt.Reply)
	case e.State == string(ledger.Held):
		return "not asked: " + said
	case e.Receipt.Err != nil:
		return e.Receipt.Err.Error()
	}
	return said
}

// End writes what a person should know beside the rows. newest is how many messages of each folder were to be asked about,
// complete says that nothing went wrong.
func (d *DryRun) End(newest int, complete bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows == nil && complete {
		fmt.Fprintln(d.w, "nothing new")
	}
	for _, e := range d.limited {
		where := e.Account
		if e.Folder != "" {
			where += ", " + fetch.Sanitize(e.Folder)
		}
		all := newest + e.NotAsked
		fmt.Fprintf(d.w, "%s: only the newest %d of %d messages; --last %[3]d asks about all\n", where, newest, all)
	}
}
