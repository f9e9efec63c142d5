package imap

import (
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// named counts the messages of a command's set of one range.
func named(args string) int {
	set, _, _ := strings.Cut(args, " ")
	first, last, isRange := strings.Cut(set, ":")
	from, err := strconv.Atoi(first)
	if err != nil || !isRange {
		return 1
	}
	to, _ := strconv.Atoi(last)
	return to - from + 1
}

// TestSettleManyAtASlowServer: a server that takes its time for each message has the time of a call for each thousand. Nothing else than these is
// touched where the server has no UIDPLUS, and where nothing can be moved only one message shows it.
func TestSettleManyAtASlowServer(t *testing.T) {
	const many, slow = 2500, 100 * time.Millisecond
	done := fetch.Disposal{Action: fetch.Move, Target: "Done"}
	for name, test := range map[string]struct {
		d                fetch.Disposal
		without          []string
		marked           uint32 // by another session, or another client: the message behind ours
		instead          map[string]string
		left, moved      int
		failures         int
		expunges, copies int
		seen             int
	}{
		"delete":                           {d: fetch.Disposal{Action: fetch.Delete}, left: 1, expunges: 3},
		"seen":                             {d: fetch.Disposal{Action: fetch.Flag}, left: many + 1, seen: many},
		"move":                             {d: done, left: 1, moved: many},
		"copy":                             {d: done, without: []string{"MOVE"}, left: 1, moved: many, expunges: 3, copies: 6},
		"copy, and nothing says what":      {d: done, without: []string{"MOVE"}, instead: map[string]string{"UID COPY": "%T OK x\r\n"}, left: many + 1, failures: many, copies: 1},
		"EXPUNGE":                          {d: fetch.Disposal{Action: fetch.Delete}, without: []string{"UIDPLUS"}, left: 1, expunges: 3},
		"EXPUNGE, ours were marked before": {d: fetch.Disposal{Action: fetch.Delete}, without: []string{"UIDPLUS"}, marked: many - 5, left: 1, expunges: 3},
		"EXPUNGE, others have marked":      {d: fetch.Disposal{Action: fetch.Delete}, without: []string{"UIDPLUS"}, marked: many + 1, left: many + 1, failures: many},
		"copy and EXPUNGE":                 {d: done, without: []string{"MOVE", "UIDPLUS"}, left: 1, moved: many, expunges: 3, copies: 3},
		"copy and EXPUNGE, ours were marked before": {d: done, without: []string{"MOVE", "UIDPLUS"}, marked: many - 5, left: 1, moved: many - 1, expunges: 3, copies: 3},
		"copy and EXPUNGE, others have marked":      {d: done, without: []string{"MOVE", "UIDPLUS"}, marked: many + 1, left: many + 1, failures: many},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := fakeserver.NewStore()
				box.Create("Done")
				fetchtest.Fill(box, many+1)
				if test.marked > 0 {
					box.Update("", test.marked, func(m *fakeserver.Message) { m.Flags = []string{`\Deleted`} })
				}
				var mu sync.Mutex
				heard := map[string]int{}
				s := server(box)
				s.Without = test.without
				s.Reply = func(verb, args string) (string, bool) {
					mu.Lock()
					heard[verb]++
					mu.Unlock()
					if strings.HasPrefix(verb, "UID ") && !strings.HasSuffix(verb, "SEARCH") {
						time.Sleep(time.Duration(named(args)) * slow)
					}
					raw, ok := test.instead[verb]
					return raw, ok
				}
				near, far := net.Pipe()
				var wg sync.WaitGroup
				wg.Go(func() { s.Serve(far) })
				defer wg.Wait()
				var log strings.Builder
				o := plaintext()
				o.PlainExpunge, o.Logger = true, slog.New(slog.NewTextHandler(&log, nil))
				c, err := New(t.Context(), near, o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Abort()
				listing, err := c.Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				failures, err := c.Settle(t.Context(), test.d, listing.Refs[:many])
				if err != nil || len(failures) != test.failures {
					t.Errorf("%d failures, want %d: %v", len(failures), test.failures, err)
				}
				if left, moved := len(box.UIDs("")), len(box.UIDs("Done")); left != test.left || moved != test.moved {
					t.Errorf("%d are left and %d moved, want %d and %d", left, moved, test.left, test.moved)
				}
				seen := 0
				for _, m := range box.List("") {
					if slices.Contains(m.Flags, `\Seen`) {
						seen++
					}
				}
				if seen != test.seen {
					t.Errorf("%d are marked as seen, want %d", seen, test.seen)
				}
				mu.Lock()
				defer mu.Unlock()
				if expunges := heard["UID EXPUNGE"] + heard["EXPUNGE"]; expunges != test.expunges || heard["UID COPY"] != test.copies {
					t.Errorf("%d times EXPUNGE and %d times COPY, want %d and %d", expunges, heard["UID COPY"], test.expunges, test.copies)
				}
				if strings.Contains(log.String(), "removed more") {
					t.Errorf("it is told of %s", log.String())
				}
			})
		})
	}
}
