package transfer

import (
	"context"
	"strings"

	"github.com/truehop/truehop/inject"
)

// fieldRefused says in a quarantined message what the MTA answered.
const fieldRefused = "Truehop-Refused"

// quarantine puts a refused message aside for a person: it goes to the address of the quarantine,
// from the null sender, so that no bounce can reach anybody else. Nothing of the refusal is recorded before the
// quarantine has taken it; where it does not, the next pass tries the message again from the start.
func (w *pipeline) quarantine(m *message) {
	to := w.pass.Quarantine
	composed := w.compose(m, func(m *message, beforeDot func(context.Context) error) *inject.Message {
		return m.composeRefused(to, beforeDot)
	})
	if composed == nil {
		return
	}
	w.submit(m, w.pass.Plain, composed, func(m *message, put inject.Receipt) {
		m.identity.record = decideQuarantine(*m.record(), &put, to, w.pass.Retry)
		w.recordVerdict(m)
	})
}

// composeRefused makes what goes to the quarantine.
func (m *message) composeRefused(to string, beforeDot func(context.Context) error) *inject.Message {
	composed := m.compose(beforeDot)
	composed.From, composed.To, composed.Client = "", []string{to}, inject.Client{}
	// A header field holds printable ASCII in one line (RFC 5322 section 2.2).
	said := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, m.record().Reply)
	composed.Header = append(composed.Header, fieldRefused+": "+said[:min(len(said), 400)]+"\r\n"...)
	return composed
}
