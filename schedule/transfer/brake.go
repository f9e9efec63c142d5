package transfer

import (
	"fmt"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// leastProof is how many known clients an MTA must have taken mail of since a refusal.
const leastProof = 3

// Brake keeps refused mail upstream until it is certain enough that the refusal was meant. An MTA that refuses
// everybody, for a block list that lists the world or for rules that were lost, would otherwise empty the mailbox.
type Brake struct {
	// Grace is how long refused mail stays at least, by the account's clock ([ledger.Ledger.Tick]): so long a
	// person has to notice.
	Grace time.Duration
	// Proof is what the MTA made of known clients of late.
	Proof ledger.Proof
}

// Holds says why a message must still stay that was refused at that age ago, after that judgement
// ([ledger.Record.Judged]). It returns "" where it may go.
func (b Brake) Holds(age time.Duration, judged int64) string {
	taken, refused := b.Proof.Since(judged)
	switch {
	case age < b.Grace:
		return fmt.Sprintf("refused, stays for refused_grace, %v more", (b.Grace - max(age, 0)).Round(time.Minute))
	case taken < leastProof:
		return fmt.Sprintf("refused, waits for proof that the MTA still takes mail: %d of %d", taken, leastProof)
	case refused > taken:
		return fmt.Sprintf("refused, waits because the MTA has refused more clients since than it has taken mail of: %d and %d", refused, taken)
	}
	return ""
}

// judgement is what the verdict on a message proves of the MTA that gave it: something only where it was shown
// the true client. Who takes mail past the rules about clients proves nothing.
func (m *message) judgement(target string, pass int64) ledger.Judgement {
	j := ledger.Judgement{Target: target, Pass: pass}
	presented := m.attempt.receipt.Presented.Addr
	if m.plain || m.attempt.standIn || presented != m.client.Addr.Unmap() || !presented.IsValid() {
		return j
	}
	switch m.record().State {
	case ledger.Delivered, ledger.PartlyRefused:
		j.Client, j.Taken = presented.String(), true
	case ledger.Refused, ledger.Quarantined:
		j.Client = presented.String()
	}
	return j
}
