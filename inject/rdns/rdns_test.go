package rdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// zone is a resolver of what the test says.
type zone struct {
	ptr   map[string][]string
	addrs map[string][]string
	errs  map[string]error
	delay time.Duration
	asked atomic.Int64
}

func (z *zone) wait(ctx context.Context) error {
	z.asked.Add(1)
	if z.delay == 0 {
		return nil
	}
	select {
	case <-time.After(z.delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func notFound(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func servfail(name string) error {
	return &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
}

func (z *zone) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if err := z.wait(ctx); err != nil {
		return nil, err
	}
	if names, ok := z.ptr[addr]; ok {
		return names, z.errs[addr]
	}
	if err, ok := z.errs[addr]; ok {
		return nil, err
	}
	return nil, notFound(addr)
}

func (z *zone) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := z.wait(ctx); err != nil {
		return nil, err
	}
	if err, ok := z.errs[host]; ok {
		return nil, err
	}
	var out []netip.Addr
	for _, s := range z.addrs[host] {
		if a := netip.MustParseAddr(s); (network == "ip4") == a.Is4() {
			out = append(out, a)
		}
	}
	if out == nil {
		return nil, notFound(host)
	}
	return out, nil
}

func TestName(t *testing.T) {
	z := &zone{
		ptr: map[string][]string{
			"192.0.2.1":   {"mail.example.net."},
			"192.0.2.2":   {"forged.example.com."},
			"192.0.2.3":   {"none.example.net.", "second.example.net."},
			"192.0.2.4":   {"temp.example.net."},
			"192.0.2.5":   {"bad name.", "192.0.2.5.", "-x.example.net.", ""},
			"192.0.2.6":   {"partial.example.net."},
			"192.0.2.9":   {"a.example.net.", "b.example.net.", "c.example.net.", "d.example.net.", "mail.example.net."},
			"2001:db8::1": {"six.example.net."},
		},
		addrs: map[string][]string{
			"mail.example.net.":    {"192.0.2.99", "192.0.2.1", "192.0.2.9"},
			"forged.example.com.":  {"198.51.100.1"},
			"second.example.net.":  {"192.0.2.3"},
			"partial.example.net.": {"192.0.2.6"},
			"six.example.net.":     {"192.0.2.1", "2001:db8::1"},
		},
		errs: map[string]error{
			"temp.example.net.": servfail("temp.example.net."),
			"192.0.2.6":         errors.New("DNS response contained records which contain invalid names"),
			"192.0.2.7":         servfail("192.0.2.7"),
			"192.0.2.8":         errors.New("something odd"),
		},
	}
	for addr, want := range map[string]Name{
		"192.0.2.1":        {Verified: "mail.example.net", Reverse: "mail.example.net"},
		"::ffff:192.0.2.1": {Verified: "mail.example.net", Reverse: "mail.example.net"},
		"192.0.2.2":        {Reverse: "forged.example.com"},
		"192.0.2.3":        {Verified: "second.example.net", Reverse: "second.example.net"},
		"192.0.2.4":        {Reverse: "temp.example.net", Temporary: true},
		"192.0.2.5":        {},
		"192.0.2.6":        {Verified: "partial.example.net", Reverse: "partial.example.net"},
		"192.0.2.7":        {Temporary: true},
		"192.0.2.8":        {Temporary: true},
		"192.0.2.9":        {Reverse: "a.example.net"},
		"192.0.2.10":       {},
		"2001:db8::1":      {Verified: "six.example.net", Reverse: "six.example.net"},
		"2001:db8::2":      {},
	} {
		if got := New(Options{Lookup: z}).Name(t.Context(), netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %+v, want %+v", addr, got, want)
		}
	}
	if got := New(Options{Lookup: z}).Name(t.Context(), netip.Addr{}); got != (Name{}) {
		t.Errorf("no address: %+v", got)
	}
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{errs: map[string]error{"192.0.2.7": servfail("x")}}
		r := New(Options{Lookup: z, TTL: 10 * time.Minute, Size: 2})
		ask := func(addr string, want int64, why string) {
			t.Helper()
			before := z.asked.Load()
			r.Name(t.Context(), netip.MustParseAddr(addr))
			if got := z.asked.Load() - before; got != want {
				t.Errorf("%s: %d questions, want %d: %s", addr, got, want, why)
			}
		}
		ask("192.0.2.1", 1, "first")
		ask("192.0.2.1", 0, "kept")
		time.Sleep(9 * time.Minute)
		ask("192.0.2.1", 0, "still kept")
		time.Sleep(2 * time.Minute)
		ask("192.0.2.1", 1, "expired")
		ask("192.0.2.7", 1, "first")
		ask("192.0.2.7", 0, "a temporary failure is kept for a while")
		time.Sleep(61 * time.Second)
		ask("192.0.2.7", 1, "and no longer")
		ask("192.0.2.2", 1, "first, which drops 192.0.2.1")
		ask("192.0.2.1", 1, "dropped: only two are kept")
		if len(r.entries) != 2 || r.recent.Len() != 2 {
			t.Errorf("%d entries, %d in the list, want 2", len(r.entries), r.recent.Len())
		}
	})
}

// TestShared: many callers, one lookup, whose asker may be called off.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{delay: 3 * time.Second, ptr: map[string][]string{"192.0.2.1": {"a.example.net."}},
			addrs: map[string][]string{"a.example.net.": {"192.0.2.1"}}}
		r := New(Options{Lookup: z})
		addr := netip.MustParseAddr("192.0.2.1")
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if n := r.Name(first, addr); !n.Temporary {
				t.Errorf("the caller who was called off got %+v", n)
			}
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() {
				if n := r.Name(t.Context(), addr); n.Verified != "a.example.net" {
					t.Errorf("got %+v", n)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		if got := z.asked.Load(); got != 3 {
			t.Errorf("%d questions, want 1 called off and 2 for all others", got)
		}
	})
}

// TestSharedHalfWay: the asker is called off when the reverse name is known already, and
// what he leaves behind is no answer for the others.
func TestSharedHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{delay: 3 * time.Second, ptr: map[string][]string{"192.0.2.1": {"a.example.net."}},
			addrs: map[string][]string{"a.example.net.": {"192.0.2.1"}}}
		r := New(Options{Lookup: z})
		addr := netip.MustParseAddr("192.0.2.1")
		first, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { r.Name(first, addr) })
		synctest.Wait()
		wg.Go(func() {
			if n := r.Name(t.Context(), addr); n.Verified != "a.example.net" {
				t.Errorf("got %+v", n)
			}
		})
		wg.Wait()
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Lookup: &zone{delay: time.Hour}, Timeout: 7 * time.Second})
		start := time.Now()
		if n := r.Name(t.Context(), netip.MustParseAddr("192.0.2.1")); n != (Name{Temporary: true}) {
			t.Errorf("got %+v", n)
		}
		if d := time.Since(start); d != 7*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func ExampleResolver_Name() {
	r := New(Options{Lookup: &zone{
		ptr:   map[string][]string{"192.0.2.1": {"mail.example.net."}},
		addrs: map[string][]string{"mail.example.net.": {"192.0.2.1"}},
	}})
	n := r.Name(context.Background(), netip.MustParseAddr("192.0.2.1"))
	fmt.Println(n.Verified)
	// Output: mail.example.net
}

// TestDeadDNS: a DNS that is silent costs a few time-outs, not one for every address; it is asked again after a while.
// Addresses whose own servers are silent, as anybody can have them, cost the others nothing.
func TestDeadDNS(t *testing.T) {
	for _, c := range []struct {
		alive bool
		takes time.Duration // each lookup, of the system's resolver
	}{{false, 5 * time.Second}, {true, 5 * time.Second}, {false, time.Second}, {true, time.Second}} {
		alive := c.alive
		t.Run(fmt.Sprintf("resolver alive %v, which gives up after %v", alive, c.takes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := &deadZone{alive: alive, takes: c.takes}
				r := New(Options{Lookup: z, Timeout: 5 * time.Second, TTL: 10 * time.Minute})
				names := func(from, to byte) time.Duration {
					start := time.Now()
					for i := from; i < to; i++ {
						if n := r.Name(t.Context(), netip.AddrFrom4([4]byte{198, 51, 100, i})); n != (Name{Temporary: true}) {
							t.Errorf("%+v", n)
						}
					}
					return time.Since(start)
				}
				want := 3*c.takes + min(c.takes, aliveTimeout)
				if alive {
					want = 20 * c.takes
				}
				if took := names(0, 20); took != want {
					t.Errorf("20 addresses took %v, want %v", took, want)
				}
				z.mends = true
				good := netip.MustParseAddr("203.0.113.9")
				if n := r.Name(t.Context(), good); n.Temporary == alive {
					t.Errorf("while the DNS counts as dead, or not: %+v", n)
				}
				time.Sleep(time.Minute)
				if n := r.Name(t.Context(), good); n != (Name{}) {
					t.Errorf("a minute later: %+v", n)
				}
			})
		})
	}
}

// deadZone answers nothing until it mends; where it is alive, only what resolvers answer by themselves.
type deadZone struct {
	alive, mends bool
	takes        time.Duration // each lookup
}

func (z *deadZone) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if z.mends || z.alive && addr == aliveAddr {
		return nil, notFound(addr)
	}
	select {
	case <-ctx.Done():
	case <-time.After(z.takes):
	}
	return nil, &net.DNSError{Err: "i/o timeout", Name: addr, IsTimeout: true, IsTemporary: true}
}

func (z *deadZone) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, notFound("")
}
