package imap

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestLargeMessages: the one beyond the limit is not downloaded, however the server answers the search for it.
func TestLargeMessages(t *testing.T) {
	opening, sizes, bodies, bye := []string{"SELECT", "UID SEARCH", "UID SEARCH"}, []string{"UID FETCH"}, []string{"UID FETCH"}, []string{"LOGOUT"}
	const empty = "* ESEARCH (TAG \"%T\") UID\r\n"
	for name, test := range map[string]struct {
		larger string // the answer to UID SEARCH LARGER, "" for the true one
		turns  [][]string
	}{
		"it is named":                        {"", [][]string{opening, sizes, bodies, bye}},
		"it is named by an unasked number":   {"* ESEARCH (TAG \"%T\") UID ALL 2,77\r\n%T OK x\r\n", [][]string{opening, sizes, bodies, bye}},
		"one within the limit is named, too": {"* ESEARCH (TAG \"%T\") UID ALL 1:2\r\n%T OK x\r\n", [][]string{opening, sizes, bodies, bye}},
		"it is not named":                    {empty + "%T OK x\r\n", [][]string{opening, bodies, bye}},
		"the search is refused":              {"%T NO not here\r\n", [][]string{opening, sizes, bodies, bye}},
		"the search is not understood":       {"%T BAD what\r\n", [][]string{opening, sizes, bodies, bye}},
		"the result names no UIDs":           {"* ESEARCH (TAG \"%T\") ALL 1:3\r\n%T OK x\r\n", [][]string{opening, sizes, bodies, bye}},
		"the result cannot be read":          {"* ESEARCH (TAG \"%T\") UID ALL two\r\n%T OK x\r\n", [][]string{opening, sizes, bodies, bye}},
		"OK without a result":                {"%T OK x\r\n", [][]string{opening, sizes, bodies, bye}},
	} {
		t.Run(name, func(t *testing.T) {
			store := fakeserver.NewStore()
			for _, octets := range []int{100, 2000, 300} {
				store.Add("", slices.Repeat([]byte("x"), octets))
			}
			s := server(store)
			s.Reply = func(verb, args string) (string, bool) {
				return test.larger, verb == "UID SEARCH" && args == "RETURN (ALL) LARGER 1000" && test.larger != ""
			}
			want := append([][]string{{"AUTHENTICATE"}}, test.turns...)
			line := fetchtest.CountTurns(fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), want...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a client that waits in mid-turn waits for ever
			defer cancel()
			o := plaintext()
			o.MaxSize = 1000
			c, err := New(ctx, line, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			listing, err := c.Open(ctx, "")
			if err != nil || len(listing.Refs) != 3 {
				t.Fatalf("%+v: %v", listing, err)
			}
			octets, failed, err := fetchtest.Collect(ctx, c, listing.Refs)
			if err != nil || len(octets) != 2 || len(failed) != 1 || fetch.KindOf(failed[listing.Refs[1]]) != fetch.TooLarge {
				t.Errorf("%d messages came, failed %v, %v; want 2, and the second too large", len(octets), failed, err)
			}
			if err := c.Close(ctx); err != nil {
				t.Fatal(err)
			}
			if got := line.Sent(); !reflect.DeepEqual(got, want) {
				t.Errorf("sent %q, want %q", got, want)
			}
		})
	}
}

// TestSizesToAsk: sizes are asked for where it is not known that a message is within the limit.
func TestSizesToAsk(t *testing.T) {
	for name, test := range map[string]struct {
		listed, large, asked, want []uint32
	}{
		"nothing was said":                {[]uint32{1, 2, 3}, nil, []uint32{1, 3}, []uint32{1, 3}},
		"none is large":                   {[]uint32{1, 2, 3}, []uint32{}, []uint32{1, 3}, []uint32{}},
		"one is large":                    {[]uint32{1, 2, 3}, []uint32{3}, []uint32{1, 3}, []uint32{3}},
		"one came after that":             {[]uint32{1, 2, 3}, []uint32{}, []uint32{1, 4}, []uint32{4}},
		"a large one has not been listed": {[]uint32{1, 2}, []uint32{9}, []uint32{1, 9}, []uint32{9}},
	} {
		if got := newSizes(test.listed, test.large).toAsk(test.asked); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
