package transfer_test

import (
	"slices"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestExpectedAreThoseToBeInjected: what is retrieved only because nothing but its content tells what it is, or to be adopted, is not
// announced to the MTA.
func TestExpectedAreThoseToBeInjected(t *testing.T) {
	for name, test := range map[string]struct {
		nameless bool
		first    transfer.FirstRun
		want     []int // by the passes over three messages, after which one is added, and of another pass
	}{
		"new":                            {false, transfer.FirstRun{Action: transfer.DeliverAll}, []int{3, 1}},
		"a server without unique-ids":    {true, transfer.FirstRun{Action: transfer.DeliverAll}, []int{3, 1}},
		"adopted":                        {false, transfer.FirstRun{Action: transfer.AdoptAll}, []int{1}},
		"adopted, and without unique-id": {true, transfer.FirstRun{Action: transfer.AdoptAll}, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, test.nameless)
			w.pass.Flood = transfer.Flood{Limit: 2, First: test.first}
			if test.nameless {
				w.listing = func(refs []fetch.Ref) []fetch.Ref {
					for i := range refs {
						refs[i].UID = ""
					}
					return refs
				}
			}
			var got []int
			w.pass.Expect = func(messages int) { got = append(got, messages) }
			for n := range 3 {
				w.add(n + 1)
			}
			w.run()
			w.run()
			w.add(4)
			w.run()
			w.run()
			if !slices.Equal(got, test.want) {
				t.Errorf("%v messages were expected, want %v", got, test.want)
			}
		})
	}
}
