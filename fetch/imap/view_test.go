package imap

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// step tells a view something: "* n EXPUNGE", "* n EXISTS" or "* VANISHED ranges".
type step struct {
	expunge, exists uint32
	vanished        string
}

// tell returns false where the view met a contradiction.
func (s step) tell(t *testing.T, v *view) bool {
	t.Helper()
	switch {
	case s.vanished != "":
		ranges, ok := parseRanges(s.vanished)
		if !ok {
			t.Fatalf("%q cannot be read", s.vanished)
		}
		return v.vanish(ranges)
	case s.exists != 0:
		return v.exists(s.exists)
	}
	return v.expunge(s.expunge)
}

// The folder of each test holds messages 2, 4, 6 and 8, and two more that came since the listing.
func TestView(t *testing.T) {
	expunge := func(n uint32) step { return step{expunge: n} }
	for name, test := range map[string]struct {
		steps []step
		gone  []uint32 // of 2, 4, 6 and 8
		lost  bool     // the last step is a contradiction
	}{
		"nothing":                    {},
		"the first":                  {steps: []step{expunge(1)}, gone: []uint32{2}},
		"numbers close up":           {steps: []step{expunge(2), expunge(2)}, gone: []uint32{4, 6}},
		"from the end":               {steps: []step{expunge(4), expunge(2)}, gone: []uint32{4, 8}},
		"all":                        {steps: []step{expunge(1), expunge(1), expunge(1), expunge(1)}, gone: []uint32{2, 4, 6, 8}},
		"one that came since":        {steps: []step{expunge(5), expunge(5)}},
		"more than there are":        {steps: []step{expunge(6), expunge(6)}, lost: true},
		"number 0":                   {steps: []step{expunge(0)}, lost: true},
		"new mail":                   {steps: []step{{exists: 9}, expunge(9), expunge(4)}, gone: []uint32{8}},
		"new mail behind an EXPUNGE": {steps: []step{expunge(1), {exists: 9}, expunge(3)}, gone: []uint32{2, 8}},
		"fewer without a word":       {steps: []step{{exists: 3}}, lost: true},
		"by UID":                     {steps: []step{{vanished: "4,8"}}, gone: []uint32{4, 8}},
		"by UIDs that never were":    {steps: []step{{vanished: "3:5,7,9:100"}}, gone: []uint32{4}},
		"by UID twice":               {steps: []step{{vanished: "2:4"}, {vanished: "2:4"}}, gone: []uint32{2, 4}},
		"by all UIDs":                {steps: []step{{vanished: "1:4294967295"}}, gone: []uint32{2, 4, 6, 8}},
		"by number and by UID":       {steps: []step{expunge(1), {vanished: "2"}}, lost: true},
		"by UID and by number":       {steps: []step{{vanished: "2"}, expunge(1)}, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			uids := []uint32{2, 4, 6, 8}
			v := newView(0, uids)
			if !v.exists(6) {
				t.Fatal("two more are no contradiction")
			}
			for i, s := range test.steps {
				last := i == len(test.steps)-1
				if got, want := s.tell(t, v), !last || !test.lost; got != want {
					t.Fatalf("step %d: got %v, want %v", i+1, got, want)
				}
			}
			if gone := slices.DeleteFunc(uids, func(uid uint32) bool { return !v.gone(uid) }); !test.lost && !slices.Equal(gone, test.gone) {
				t.Errorf("gone are %v, want %v", gone, test.gone)
			}
			if v.gone(9) {
				t.Error("message 9 was not of the listing, and is said to have gone")
			}
		})
	}
}

// A view of the last messages of a folder knows of those before it how many there are.
func TestViewOfWhatIsNew(t *testing.T) {
	expunge := func(n uint32) step { return step{expunge: n} }
	for name, test := range map[string]struct {
		steps []step
		gone  []uint32
		third uint32 // the UID of message 3
		lost  bool
	}{
		"nothing":                   {third: 12},
		"an earlier one":            {steps: []step{expunge(2)}, third: 14},
		"both earlier ones":         {steps: []step{expunge(1), expunge(1)}},
		"the first new one":         {steps: []step{expunge(3)}, gone: []uint32{12}, third: 14},
		"the last new one":          {steps: []step{expunge(4)}, gone: []uint32{14}, third: 12},
		"more than there are":       {steps: []step{expunge(5)}, lost: true},
		"fewer without a word":      {steps: []step{{exists: 3}}, lost: true},
		"a new one by UID":          {steps: []step{{vanished: "12"}}, gone: []uint32{12}, third: 14},
		"one that has come since":   {steps: []step{{exists: 5}, {vanished: "14:20"}}, gone: []uint32{14}, third: 12},
		"those before them, by UID": {steps: []step{{vanished: "3:11"}}, lost: true},
	} {
		uids := []uint32{12, 14}
		v := newView(2, uids)
		for i, s := range test.steps {
			last := i == len(test.steps)-1
			if got, want := s.tell(t, v), !last || !test.lost; got != want {
				t.Errorf("%s: step %d: got %v, want %v", name, i+1, got, want)
			}
		}
		if test.lost {
			continue
		}
		if gone := slices.DeleteFunc(uids, func(uid uint32) bool { return !v.gone(uid) }); !slices.Equal(gone, test.gone) {
			t.Errorf("%s: gone are %v, want %v", name, gone, test.gone)
		}
		if v.gone(5) != (v.earlier == 0) || v.gone(15) {
			t.Errorf("%s: message 5 or 15 was not of the listing, and is said to have gone", name)
		}
		if v.at(3) != test.third || v.at(1) != 0 && v.earlier > 0 {
			t.Errorf("%s: message 3 is %d, want %d; message 1 is %d", name, v.at(3), test.third, v.at(1))
		}
	}
}

// A view of many chunks is as good as one slice.
func TestViewLikeOneSlice(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		var all []uint32
		for uid := uint32(1); len(all) < 3000; uid += 1 + random.Uint32N(3) {
			all = append(all, uid)
		}
		byUID := random.Uint32N(2) == 0
		left, v := slices.Clone(all), newView(0, all)
		for len(left) > 100 {
			if i := random.IntN(len(left)); byUID {
				first, last := left[i], left[i]+random.Uint32N(2000)
				left = slices.DeleteFunc(left, func(uid uint32) bool { return first <= uid && uid <= last })
				v.vanish([]uidRange{{first, last}})
			} else {
				left = slices.Delete(left, i, i+1)
				v.expunge(uint32(i + 1))
			}
			if int(v.known) != len(left) || v.total != v.known {
				t.Fatalf("the view holds %d messages of %d, want %d", v.known, v.total, len(left))
			}
		}
		for _, uid := range all {
			if _, there := slices.BinarySearch(left, uid); v.gone(uid) == there {
				t.Fatalf("message %d: gone is %v", uid, !there)
			}
		}
	}
}

func TestRanges(t *testing.T) {
	for text, want := range map[string][]uidRange{
		"7": {{7, 7}}, "1:3,5": {{1, 3}, {5, 5}}, "5:2": {{2, 5}}, "4294967295": {{4294967295, 4294967295}},
		"": nil, "0": nil, "0:5": nil, "*": nil, "1:*": nil, "1,": nil, "4294967296": nil, "1:2:3": nil, "-1": nil, "1 2": nil,
	} {
		got, ok := parseRanges(text)
		if !slices.Equal(got, want) || ok != (want != nil) {
			t.Errorf("%q: got %v, %v; want %v", text, got, ok, want)
		}
	}
	uids := []uint32{2, 4, 6, 8}
	for text, want := range map[string][]uint32{
		"2:8": {}, "1:4294967295": {}, "4": {2, 6, 8}, "8,4": {2, 6}, "3,5,9": uids, "1:5,2:3": {6, 8}, "6:7,1:2": {4, 8},
	} {
		ranges, _ := parseRanges(text)
		if got := outside(uids, ranges); !slices.Equal(got, want) {
			t.Errorf("outside %s are %v, want %v", text, got, want)
		}
	}
}
