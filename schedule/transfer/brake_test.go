package transfer

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// graceOfTests is a time that refused mail stays.
const graceOfTests = 3 * 24 * time.Hour

// proven is the proof of an MTA that took mail of so many clients and then refused that of so many others.
func proven(t *testing.T, taken, refused int) ledger.Proof {
	t.Helper()
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for n := range taken + refused {
		rec := ledger.Record{Key: ledger.Key{Account: "work", UID: fmt.Sprint(n)}, State: ledger.Delivered}
		if err := l.PutJudged(t.Context(), rec, nil, ledger.Judgement{Target: "mta", Client: fmt.Sprint(n), Taken: n < taken, Pass: int64(n) + 1}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := l.Proof(t.Context(), "mta")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBrake(t *testing.T) {
	for _, c := range []struct {
		age            time.Duration
		taken, refused int
		judged         int64
		want           string // how the reason goes on after "refused, ", "" if it may go
	}{
		{graceOfTests, 3, 0, 0, ""},
		{graceOfTests, 3, 3, 0, ""},
		{graceOfTests, 30, 29, 0, ""},
		{graceOfTests, 3, 4, 0, "waits because the MTA has refused more clients since than it has taken mail of: 4 and 3"},
		{graceOfTests, 0, 0, 0, "waits for proof that the MTA still takes mail: 0 of 3"},
		{graceOfTests, 2, 0, 0, "waits for proof that the MTA still takes mail: 2 of 3"},
		{graceOfTests, 0, 30, 0, "waits for proof that the MTA still takes mail: 0 of 3"},
		{1000 * graceOfTests, 2, 0, 0, "waits for proof that the MTA still takes mail: 2 of 3"},
		{graceOfTests, 4, 0, 1, ""},
		{graceOfTests, 3, 0, 1, "waits for proof that the MTA still takes mail: 2 of 3"}, // one was taken before
		{graceOfTests, 3, 0, 3, "waits for proof that the MTA still takes mail: 0 of 3"},
		{graceOfTests - time.Minute, 30, 0, 0, "stays for refused_grace, 1m0s more"},
		{0, 30, 0, 0, "stays for refused_grace, 72h0m0s more"},
		{-time.Hour, 30, 0, 0, "stays for refused_grace, 72h0m0s more"},
	} {
		brake := Brake{Grace: graceOfTests, Proof: proven(t, c.taken, c.refused)}
		if got := strings.TrimPrefix(brake.Holds(c.age, c.judged), "refused, "); got != c.want {
			t.Errorf("after %v and judgement %d, with %d taken and %d refused: %q, want %q", c.age, c.judged, c.taken, c.refused, got, c.want)
		}
	}
}

// TestJudgement: only what the MTA says of a client that it was really shown proves that it judges clients.
func TestJudgement(t *testing.T) {
	client, other := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("192.0.0.8")
	mapped := netip.MustParseAddr("::ffff:203.0.113.7")
	for _, c := range []struct {
		name             string
		client, shown    netip.Addr
		plain            bool
		state            ledger.State
		proves, provesOf bool // something, and that mail is taken
	}{
		{"delivered", client, client, false, ledger.Delivered, true, true},
		{"partly refused", client, client, false, ledger.PartlyRefused, true, true},
		{"refused", client, client, false, ledger.Refused, true, false},
		{"refused, the quarantine has it", client, client, false, ledger.Quarantined, true, false},
		{"an IPv4 client as Go may write it", mapped, client, false, ledger.Delivered, true, true},
		{"another address was shown", client, other, false, ledger.Delivered, false, false},
		{"another address was shown and refused", client, other, false, ledger.Refused, false, false},
		{"nothing was shown", client, netip.Addr{}, false, ledger.Delivered, false, false},
		{"no client, nothing shown", netip.Addr{}, netip.Addr{}, false, ledger.Delivered, false, false},
		{"past the rules about clients", client, client, true, ledger.Delivered, false, false},
		{"deferred", client, client, false, ledger.Deferred, false, false},
		{"held", client, client, false, ledger.Held, false, false},
		{"in doubt", client, client, false, ledger.Doubt, false, false},
	} {
		m := &message{plain: c.plain, client: inject.Client{Addr: c.client}}
		m.attempt.receipt.Presented.Addr = c.shown
		m.record().State = c.state
		want := ledger.Judgement{Target: "mta", Pass: 9}
		if c.proves {
			want.Client, want.Taken = c.shown.String(), c.provesOf
		}
		if got := m.judgement("mta", 9); got != want {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
}
