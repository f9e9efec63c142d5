package transfer

import (
	"slices"

	"github.com/truehop/truehop/fetch"
)

// keepNewest plans to retrieve no more than the n newest of the messages that were to be, in the order of the listing. It
// returns how many are left out.
func (p *plan) keepNewest(listed []fetch.Ref, n int) (notAsked int) {
	planned := map[fetch.Ref]bool{}
	for _, ref := range slices.Concat(p.retrieve, p.retries, p.suspects) {
		planned[ref] = true
	}
	for _, ref := range listed {
		if len(planned) <= n {
			break
		}
		if planned[ref] {
			delete(planned, ref)
			notAsked++
		}
	}
	older := func(ref fetch.Ref) bool { return !planned[ref] }
	p.retrieve, p.retries, p.suspects = slices.DeleteFunc(p.retrieve, older), slices.DeleteFunc(p.retries, older), slices.DeleteFunc(p.suspects, older)
	return notAsked
}
