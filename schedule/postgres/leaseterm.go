package postgres

import "time"

// These are the decisions about leases. They are pure: they ask neither a clock nor the database.

// term is how long the leases of this process last, as it sees that itself. It ends before the database lets others
// take them: it begins before the renewal was sent, which the database saw later, and is a tenth shorter, for clocks that do not go alike.
type term struct {
	// sent is when the last renewal that went well was sent, by [boottime]; length is what it asked for, 0 before the first.
	sent, length time.Duration
}

// over reports whether the leases may be another's by now.
func (t term) over(now time.Duration) bool {
	return now >= t.sent+t.length-t.length/10 || now < t.sent
}

// sendingUntil is when what the holder before has left as [ledger.Sending] may be taken up. lostFor is how long ago his lease ended
// without being handed back, negative if it was handed back. Up to the end of his lease he may have begun to write a dot, and no later; from
// then on it takes dotOver at most until nothing of it can arrive any more. A holder who has handed back had no dot under way.
func sendingUntil(now time.Time, lostFor, dotOver time.Duration) time.Time {
	if lostFor < 0 || lostFor >= dotOver {
		return time.Time{}
	}
	return now.Add(dotOver - lostFor)
}

// Standing is how the accounts are shared out, as one process sees it.
type Standing struct {
	// Nodes counts the processes that serve accounts and are not draining, this one among them unless Draining says that it hands over.
	Nodes    int
	Draining bool
	// Accounts counts those that somebody is to serve, Held those that this process holds.
	Accounts, Held int
	// Overdue counts those that nobody holds, although a pass has been due for overdueAfter.
	Overdue int
	// Asked are accounts that this process holds and that another one wants to work on.
	Asked []string
}

// overdueAfter is how long an account may be due without anybody holding it before it is [Standing.Overdue].
const overdueAfter = time.Minute

// Quota says how many accounts more this process should take, or how many it should hand over. Each process has a share of
// the same size, rounded up, so that every account is in one; where that is so, nobody takes or hands over anything.
func (s Standing) Quota() (take, give int) {
	return max(s.share()-s.Held, 0), max(s.Held-s.share(), 0)
}

// Beyond says how many accounts this process should take although it has its share, if that lasts: where processes do not have the same
// accounts in their configuration, some cannot fill theirs, and what is left over would be served by nobody.
func (s Standing) Beyond() int {
	if s.Draining || s.Held < s.share() {
		return 0
	}
	return s.Overdue
}

func (s Standing) share() int {
	if s.Draining {
		return 0
	}
	nodes := max(s.Nodes, 1)
	return (s.Accounts + nodes - 1) / nodes
}
