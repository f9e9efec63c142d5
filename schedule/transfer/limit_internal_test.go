package transfer

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// ofSizes returns messages with the sizes that text shows, one digit each.
func ofSizes(kind, text string, sizes map[fetch.Ref]int64) (refs []fetch.Ref) {
	for i, digit := range text {
		ref := fetch.Ref{UID: kind + strconv.Itoa(i)}
		refs, sizes[ref] = append(refs, ref), int64(digit-'0')
	}
	return refs
}

func TestPick(t *testing.T) {
	retriesAreDue := ledger.Turn{First: 2 * time.Second, Again: time.Second}
	for _, c := range []struct {
		name           string
		messages       int
		octets         int64
		fresh, retries string // the sizes of the messages
		turn           ledger.Turn
		notFirst       bool // the pass has taken something
		want           [2]int
	}{
		{"more room than mail", 10, 0, "11", "1", ledger.Turn{}, false, [2]int{2, 1}},
		{"new mail alone", 2, 0, "111", "", ledger.Turn{}, false, [2]int{2, 0}},
		{"retries alone", 2, 0, "", "111", ledger.Turn{}, false, [2]int{0, 2}},
		{"by turns", 4, 0, "11111", "11111", ledger.Turn{}, false, [2]int{2, 2}},
		{"an odd number", 3, 0, "11111", "11111", ledger.Turn{}, false, [2]int{2, 1}},
		{"an odd number, new mail had more before", 3, 0, "11111", "11111", retriesAreDue, false, [2]int{1, 2}},
		{"one message, never any before", 1, 0, "11", "11", ledger.Turn{}, false, [2]int{1, 0}},
		{"one message, after a new one", 1, 0, "11", "11", retriesAreDue, false, [2]int{0, 1}},
		{"one message, after a retry", 1, 0, "11", "11", ledger.Turn{First: time.Second, Again: 2 * time.Second}, false, [2]int{1, 0}},
		{"one message, after a new one, and no retry", 1, 0, "11", "", retriesAreDue, false, [2]int{1, 0}},
		{"one kind uses what the other leaves", 4, 0, "1", "11111", ledger.Turn{}, false, [2]int{1, 3}},
		{"octets", 0, 6, "222", "222", ledger.Turn{}, false, [2]int{2, 1}},
		{"octets to the last", 0, 6, "22299", "", ledger.Turn{}, false, [2]int{3, 0}},
		{"none passes the one without room", 0, 6, "2911", "", ledger.Turn{}, false, [2]int{1, 0}},
		{"the other kind goes on", 0, 6, "2911", "111111", ledger.Turn{}, false, [2]int{1, 4}},
		{"larger than the limit, alone", 0, 6, "911", "11", ledger.Turn{}, false, [2]int{1, 0}},
		{"larger than the limit, behind another folder's", 0, 6, "911", "11", ledger.Turn{}, true, [2]int{0, 2}},
		{"both limits", 2, 9, "11111", "", ledger.Turn{}, false, [2]int{2, 0}},
		{"sizes that nobody knows", 0, 3, "00000", "", ledger.Turn{}, false, [2]int{3, 0}},
		{"no room", 3, 0, "11", "11", ledger.Turn{}, true, [2]int{2, 1}},
	} {
		sizes := map[fetch.Ref]int64{}
		limit := Limit{Messages: c.messages, Octets: c.octets}
		v := visit{limit: limit, share: limit, first: !c.notFirst, turn: c.turn}
		fresh, retries := v.pick(ofSizes("new", c.fresh, sizes), ofSizes("again", c.retries, sizes), sizes)
		if got := [2]int{fresh, retries}; got != c.want {
			t.Errorf("%s: took %v, want %v", c.name, got, c.want)
		}
		if v.taken.Messages != fresh+retries {
			t.Errorf("%s: %d messages are counted", c.name, v.taken.Messages)
		}
	}
}

// TestNobodyStarves: with room for few messages, or for the octets of few, each of several kinds of mail in several folders gets its turn,
// however much there is of the others.
func TestNobodyStarves(t *testing.T) {
	for _, limit := range []Limit{{Messages: 1}, {Messages: 2}, {Messages: 3}, {Octets: 3}, {Octets: 10}, {Messages: 2, Octets: 5}} {
		for folders := 1; folders <= 4; folders++ {
			t.Run(fmt.Sprintf("%+v, %d folders", limit, folders), func(t *testing.T) {
				var names []string
				turns, got := map[string]ledger.Turn{}, map[string][2]int{}
				for n := range folders {
					names = append(names, strconv.Itoa(n))
				}
				now := time.Second
				const passes = 60
				for range passes {
					_, err := limit.divide(inTurn(names, turns), turns, func(name string, v *visit) error {
						// In the last folder the new messages are large. The first one has few of either.
						sizes, amount := map[fetch.Ref]int64{}, 10
						what := "1111111111"
						switch name {
						case names[len(names)-1]:
							what = "9999999999"
						case names[0]:
							amount = 2
						}
						fresh, retries := v.pick(ofSizes("new", what[:amount], sizes), ofSizes("again", "1111111111"[:amount], sizes), sizes)
						if v.left = nil; fresh < amount {
							v.left = map[string]bool{"more": true}
						}
						turn := turns[name]
						turn.Waiting = true
						for n := range max(fresh, retries) {
							if now += time.Second; n < fresh {
								turn.First = now
							}
							if now += time.Second; n < retries {
								turn.Again = now
							}
						}
						turns[name], got[name] = turn, [2]int{got[name][0] + fresh, got[name][1] + retries}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				for _, name := range names {
					if n, least := got[name], passes/(4*folders); min(n[0], n[1]) < least {
						t.Errorf("in %d passes folder %s had %d new messages and %d retries", passes, name, n[0], n[1])
					}
				}
			})
		}
	}
}

func TestInTurn(t *testing.T) {
	turns := map[string]ledger.Turn{
		"INBOX": {First: 5}, "A": {First: 3, Again: 9, Waiting: true}, "B": {First: 8, Again: 1, Waiting: true}, "C": {First: 8, Again: 1},
	}
	if got, want := inTurn([]string{"INBOX", "A", "B", "C", "D"}, turns), []string{"D", "B", "A", "INBOX", "C"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAdoptable(t *testing.T) {
	refs := []fetch.Ref{{UID: "1"}, {UID: "2"}, {UID: "3"}}
	since := map[string]bool{"1": true, "3": true}
	for _, c := range []struct {
		name  string
		rules Flood
		rest  string // the UIDs that are delivered
	}{
		{"all", Flood{First: FirstRun{Action: AdoptAll}}, ""},
		{"but the newest", Flood{First: FirstRun{Action: DeliverNewest, Newest: 1}}, "3"},
		{"but the newest, of which there are as many", Flood{First: FirstRun{Action: DeliverNewest, Newest: 3}}, "123"},
		{"but the newest, of which there are fewer", Flood{First: FirstRun{Action: DeliverNewest, Newest: 9}}, "123"},
		{"but those since a day", Flood{First: FirstRun{Action: DeliverSince}}, "13"},
		{"a person said all", Flood{First: FirstRun{Action: DeliverNewest, Newest: 1}, Adopt: true}, ""},
	} {
		adopt, rest := c.rules.adoptable(refs, since)
		got := ""
		for _, ref := range rest {
			got += ref.UID
		}
		if got != c.rest || len(adopt)+len(rest) != len(refs) {
			t.Errorf("%s: %q of %d are delivered, %d adopted", c.name, got, len(refs), len(adopt))
		}
	}
}
