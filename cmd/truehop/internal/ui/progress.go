package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/truehop/truehop/schedule/transfer"
)

// progress is how far the pass over one account has come.
type progress struct {
	account string
	// began is when the first message was asked for, zero while folders are listed.
	began time.Time
	// messages and octets are what is to be retrieved by the listings; servers may be wrong about sizes.
	messages, retrieved, judged int
	octets, came                int64
	// arriving is what has come of the message that is being read.
	arriving int64
}

// add takes an event of the pass, and reports whether it changes what is shown.
func (p *progress) add(e transfer.Event, now time.Time) bool {
	switch e.Kind {
	case transfer.Planned:
		if p.began.IsZero() && e.Messages > 0 {
			p.began = now
		}
		p.messages, p.octets = p.messages+e.Messages, p.octets+e.Octets
	case transfer.Retrieved:
		p.retrieved, p.came = p.retrieved+1, p.came+e.Size
		if p.arriving >= e.Size { // it was this one; the next may have begun
			p.arriving = 0
		}
	case transfer.Verdict, transfer.Recognised:
		p.judged++
	default:
		return false
	}
	return true
}

// text is what is shown beside the bar: messages, octets, rate, and how long it still takes.
func (p *progress) text(now time.Time) string {
	if p.messages == 0 {
		return "looking for new mail"
	}
	came := p.came + p.arriving
	parts := []string{fmt.Sprintf("%d of %d fetched, %d done", p.retrieved, p.messages, p.judged), size(came)}
	if p.octets >= came {
		parts[1] += " of " + size(p.octets)
	}
	if took := now.Sub(p.began); took >= time.Second && came > 0 {
		rate := int64(float64(came) / took.Seconds())
		parts = append(parts, size(rate)+"/s")
		if left := p.octets - came; left > 0 && rate > 0 {
			parts = append(parts, shortDuration(time.Duration(left/rate)*time.Second)+" left")
		}
	}
	return strings.Join(parts, "  ")
}
