package fetch

import (
	"reflect"
	"testing"
	"time"
)

func TestAgesBecomeDays(t *testing.T) {
	day := func(month time.Month, n int) time.Time { return time.Date(2026, month, n, 0, 0, 0, 0, time.UTC) }
	late := time.Date(2026, time.March, 2, 23, 59, 0, 0, time.FixedZone("", -5*3600)) // the next day in UTC
	given := Search{{Key: Younger, Days: 3}, {Key: Older, Days: 1, Not: true}, {Key: Since, Day: day(1, 1)}, {Key: Seen}}
	want := Search{{Key: Since, Days: 3, Day: day(time.February, 27)}, {Key: Before, Days: 1, Not: true, Day: day(time.March, 1)}, {Key: Since, Day: day(1, 1)}, {Key: Seen}}
	if got := given.On(late); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if given[0].Key != Younger {
		t.Error("the search itself was changed")
	}
}
