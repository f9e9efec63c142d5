package transfer

import (
	"strings"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// fieldRefused tells in a quarantined message what the MTA said.
const fieldRefused = "Truehop-Refused"

// quarantine puts a refused message aside for a person: it goes to the address of the quarantine,
// from the null sender, so that nobody is ever told of it but that person. Until it is there
// nothing of the refusal is recorded, and an attempt that fails is made again from the start.
func (w *work) quarantine(j *job) {
	m := w.message(j)
	m.From, m.To, m.Client = "", []string{w.Quarantine}, inject.Client{}
	m.Header = append(m.Header, fieldRefused+": "+plainText(j.record.Reply)+"\r\n"...)
	refusal := j.receipt
	w.hand(j, w.Plain, m, func(j *job) {
		put := j.receipt
		j.receipt = refusal
		rec := &j.record
		switch {
		case put.Outcome == inject.Delivered:
			rec.State, rec.QueueID = ledger.Quarantined, put.QueueID
			rec.Why = "put into quarantine at " + w.Quarantine
		default:
			rec.State, rec.Verdicts = ledger.Deferred, nil
			rec.Next = rec.Last.Add(w.Retry.after(rec.Attempts))
			rec.Why = "refused, and the quarantine did not take it: " + failure(put)
			if put.Outcome == inject.InDoubt {
				rec.State = ledger.Doubt
				w.later(rec)
			}
		}
		w.conclude(j)
	})
}

// failure says in a line why a receipt is not the one that was hoped for.
func failure(r inject.Receipt) string {
	if r.Err != nil {
		return r.Err.Error()
	}
	return r.Stage + " " + replyText(r.Reply)
}

// plainText makes a text fit for a header field: printable ASCII in one line, 400 octets at most.
func plainText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 400)]
}
