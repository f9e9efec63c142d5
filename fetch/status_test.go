package fetch

import (
	"slices"
	"testing"
)

func TestWhatCameSinceAFolderWasListed(t *testing.T) {
	before := Status{Validity: 7, Next: 11, Messages: 10, ModSeq: 100}
	many := make([]uint32, maxSince+1)
	for i := range many {
		many[i] = before.Next + uint32(i)
	}
	for name, c := range map[string]struct {
		before, now Status
		found       []uint32
		fresh       []uint32
		whole       bool
	}{
		"nothing has changed":                              {before, before, nil, nil, true},
		"n:* names the last message":                       {before, before, []uint32{10}, nil, true},
		"only flags have changed":                          {before, Status{7, 11, 10, 101}, []uint32{10}, nil, true},
		"a message came and went":                          {before, Status{7, 12, 10, 103}, nil, nil, true},
		"two are new":                                      {before, Status{7, 13, 12, 102}, []uint32{12, 11}, []uint32{11, 12}, true},
		"named twice, it is one":                           {before, Status{7, 12, 11, 102}, []uint32{11, 11}, []uint32{11}, true},
		"the server says nothing of UIDNEXT":               {before, Status{7, 0, 11, 102}, []uint32{11}, []uint32{11}, true},
		"all UIDs are named, whatever was asked for":       {before, Status{7, 12, 11, 102}, []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, []uint32{11}, true},
		"without CONDSTORE":                                {Status{7, 11, 10, 0}, Status{7, 12, 11, 0}, []uint32{11}, []uint32{11}, true},
		"an empty folder stays empty":                      {Status{7, 1, 0, 1}, Status{7, 1, 0, 1}, nil, nil, true},
		"one of the old has gone":                          {before, Status{7, 11, 9, 101}, nil, nil, false},
		"one of the old has gone, and one is new":          {before, Status{7, 12, 10, 102}, []uint32{11}, nil, false},
		"one is new that is not named":                     {before, Status{7, 12, 11, 102}, []uint32{10}, nil, false},
		"some of the old UIDs are named, and not all":      {before, before, []uint32{1, 2, 3, 4, 6, 7, 8, 9, 10}, nil, false},
		"another UIDVALIDITY":                              {before, Status{8, 11, 10, 100}, nil, nil, false},
		"UIDs do not last":                                 {Status{0, 11, 10, 100}, Status{0, 11, 10, 100}, nil, nil, false},
		"nothing is remembered":                            {Status{}, before, nil, nil, false},
		"UIDNEXT has fallen":                               {before, Status{7, 10, 10, 100}, nil, nil, false},
		"UIDNEXT stands still while messages come":         {before, Status{7, 11, 11, 102}, nil, nil, false},
		"HIGHESTMODSEQ has fallen":                         {before, Status{7, 11, 10, 99}, nil, nil, false},
		"HIGHESTMODSEQ is not said any more":               {before, Status{7, 11, 10, 0}, nil, nil, false},
		"HIGHESTMODSEQ is said for the first time":         {Status{7, 11, 10, 0}, before, nil, nil, false},
		"HIGHESTMODSEQ stands still while a message comes": {before, Status{7, 12, 11, 100}, []uint32{11}, nil, false},
		"more than a pass should take without a listing":   {before, Status{7, before.Next + uint32(len(many)), 10 + uint32(len(many)), 5000}, many, nil, false},
	} {
		found := slices.Clone(c.found)
		fresh, whole := c.before.Since(c.now, c.found)
		if !slices.Equal(fresh, c.fresh) || whole != c.whole {
			t.Errorf("%s: Since(%v, %v) = %v, %v, want %v, %v", name, c.now, c.found, fresh, whole, c.fresh, c.whole)
		}
		if !slices.Equal(found, c.found) {
			t.Errorf("%s: Since has changed what was found", name)
		}
	}
}
