package transfer

import (
	"bytes"
	"context"

	"github.com/truehop/truehop/inject"
)

// ErrSpool is what a write to the spool fails with.
var ErrSpool = errSpool

// ComposeBadly gives the pass a defect with messages in whose header mark stands, once they are to be put together: for the quarantine, or
// for the MTA.
func (p *Pass) ComposeBadly(mark string, forQuarantine bool) {
	p.compose = func(m *message, beforeDot func(context.Context) error) *inject.Message {
		refused := m.attempt.receipt.Outcome == inject.Refused
		if bad := bytes.Contains(m.spool.head, []byte(mark)); bad && refused == forQuarantine {
			var composed *inject.Message
			composed.Size++
		}
		if refused {
			return m.composeRefused(p.Quarantine, beforeDot)
		}
		return m.compose(beforeDot)
	}
}
