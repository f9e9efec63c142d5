package ui

import (
	"io"
	"slices"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// recordJSON is what `history --json` prints of a message, one object a line. Absent values are null.
type recordJSON struct {
	Account  string       `json:"account"`
	Folder   string       `json:"folder"`
	Validity uint32       `json:"validity"`
	UID      string       `json:"uid"`
	ID       *string      `json:"id"`
	State    ledger.State `json:"state"`
	Size     int64        `json:"size"`
	First    *time.Time   `json:"first"`
	Last     *time.Time   `json:"last"`
	Next     *time.Time   `json:"next"`
	Attempts int          `json:"attempts"`
	Doubts   int          `json:"doubts"`
	Disposed bool         `json:"disposed"`
	Absent   bool         `json:"absent"`
	Client   *string      `json:"client"`
	HELO     *string      `json:"helo"`
	// Target is that of the account, as the configuration is now.
	Target     string  `json:"target"`
	Sender     string  `json:"sender"`
	Recipients *string `json:"recipients"`
	Code       int     `json:"code"`
	Reply      *string `json:"reply"`
	Queue      *string `json:"queue"`
	Why        *string `json:"why"`
	// Acknowledged is when a person took note that the message is lost.
	Acknowledged *time.Time `json:"acknowledged"`
	// Message names it by its own header.
	Message headingJSON `json:"message"`
	// Verdicts are those on single recipients, where not all of them got the message.
	Verdicts []ledger.Verdict `json:"verdicts"`
}

// PrintHistoryJSON writes records of an account as one object a line each; target is the name of the account's target.
func PrintHistoryJSON(w io.Writer, found []ledger.Record, target func(account string) string) error {
	for _, r := range found {
		if err := printJSON(w, recordJSON{
			Account: r.Account, Folder: r.Folder, Validity: r.Validity, UID: r.UID, ID: orNil(r.Token), State: r.State,
			Size: r.Size, First: moment(r.First), Last: moment(r.Last), Next: moment(r.Next), Attempts: r.Attempts,
			Doubts: r.Doubts, Disposed: r.Disposed, Absent: r.Absent, Client: orNil(r.Client), HELO: orNil(r.HELO), Target: target(r.Account),
			Sender: r.Sender, Recipients: orNil(r.Recipients), Code: r.Code, Reply: orNil(r.Reply), Queue: orNil(r.QueueID),
			Why: orNil(r.Why), Acknowledged: moment(r.Acknowledged), Message: newHeadingJSON(r.Heading), Verdicts: r.Verdicts,
		}); err != nil {
			return err
		}
	}
	return nil
}

// PrintHistory writes records as a table, as of now.
func PrintHistory(w io.Writer, found []ledger.Record, now time.Time) {
	if len(found) == 0 {
		return
	}
	t := newTable(w, narrower(w, historyHeads(now))...)
	for _, r := range found {
		t.row(narrower(w, historyRow(r, cellTime(r.Last, now)))...)
	}
	t.flush()
}

// narrower puts the ID of a row behind what is looked for more often: at a terminal there may be no room for it beside the rest.
func narrower(w io.Writer, row []string) []string {
	const id, behind = 3, 6
	if columnsOf(w) > 0 {
		row = slices.Insert(slices.Delete(slices.Clone(row), id, id+1), behind, row[id])
	}
	return row
}

func historyHeads(now time.Time) []string {
	return []string{"WHEN (" + now.Format("MST") + ")", "ACCOUNT", "UID", "ID", "STATE", "CLIENT", "QUEUE", "MESSAGE", "REASON"}
}

func historyRow(r ledger.Record, changed string) []string {
	why := r.Why
	if !r.Acknowledged.IsZero() {
		why = "acknowledged " + when(&r.Acknowledged) + "; " + why
	}
	return []string{changed, r.Account, fetch.Sanitize(r.UID), orDash(r.Token), string(r.State), orDash(r.Client),
		orDash(r.QueueID), headingText(r.Heading), recordReason(r.Reply, why, r.Verdicts)}
}

// History writes records as a table that grows.
type History struct {
	w    io.Writer
	rows *rows // nil until there is one
}

// NewHistory returns a History that writes to w.
func NewHistory(w io.Writer) *History { return &History{w: w} }

// Add writes records at once.
func (h *History) Add(found []ledger.Record) {
	for _, r := range found {
		if h.rows == nil {
			h.rows = newRows(h.w, historyHeads(time.Now())...)
		}
		h.rows.row(historyRow(r, when(&r.Last))...) // which grows older as one looks at it
	}
}
