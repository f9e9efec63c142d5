// Package rdns finds the name of an SMTP client as an MTA does: the name that its
// address resolves to (PTR). The name is verified if it resolves to the address.
package rdns

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Lookup is the part of a resolver that is used. *net.Resolver implements it.
type Lookup interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var _ Lookup = (*net.Resolver)(nil)

// Options configure a [Resolver]. The zero value can be used.
type Options struct {
	// Lookup asks the DNS; nil is net.DefaultResolver.
	Lookup Lookup
	// Timeout limits all lookups for one address together, 10 s if zero.
	Timeout time.Duration
	// TTL is how long an answer, positive or negative, is kept; 10 min if zero. A
	// temporary failure is kept for a tenth of it.
	TTL time.Duration
	// Size is how many answers are kept, 4096 if zero.
	Size int
}

// Name is what is known of an address's name.
type Name struct {
	// Verified is the name that the address resolves to and that resolves to it, or "".
	Verified string
	// Reverse is the name that the address resolves to, verified or not, or "".
	Reverse string
	// Temporary says that Verified is "" because a lookup failed temporarily.
	Temporary bool
}

const (
	// deadAfter is how many lookups in a row must fail before the DNS is suspected to be dead.
	deadAfter = 3
	// aliveAddr is looked up then. Resolvers answer for it by themselves (RFC 6303 section 4.3), so that no sender
	// has a say in it: anybody can have an address whose name servers are silent.
	aliveAddr = "192.0.2.1"
	// aliveTimeout limits that lookup.
	aliveTimeout = 2 * time.Second
)

// maxNames limits how many names of one address are tried. Anybody can give an
// address hundreds of PTR records.
const maxNames = 4

// Resolver finds names and caches them. It is safe for concurrent use.
type Resolver struct {
	o Options

	mu      sync.Mutex
	entries map[netip.Addr]*list.Element
	recent  *list.List // of *entry, the most recently used first
	// silent counts the lookups in a row that timed out. Until dead, nothing is asked.
	silent int
	dead   time.Time
}

// entry is an answer, or a lookup in progress.
type entry struct {
	addr    netip.Addr
	done    chan struct{} // closed when name and expires are set
	name    Name
	expires time.Time
}

// New returns a Resolver.
func New(o Options) *Resolver {
	if o.Lookup == nil {
		o.Lookup = net.DefaultResolver
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.TTL <= 0 {
		o.TTL = 10 * time.Minute
	}
	if o.Size <= 0 {
		o.Size = 4096
	}
	return &Resolver{o: o, entries: map[netip.Addr]*list.Element{}, recent: list.New()}
}

// Name returns the name of addr within Options.Timeout. Concurrent callers share one
// lookup of the same address. If ctx ends first, the result is a temporary failure. So it
// is, at once, for a tenth of Options.TTL after the DNS was found to be dead.
func (r *Resolver) Name(ctx context.Context, addr netip.Addr) Name {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return Name{}
	}
	for {
		e, mine := r.entry(addr)
		if mine {
			r.resolve(ctx, e)
			return e.name
		}
		select {
		case <-e.done:
			if !e.name.Temporary || time.Now().Before(e.expires) {
				return e.name
			}
			// The caller that did the lookup was cancelled: look up again.
		case <-ctx.Done():
			return Name{Temporary: true}
		}
		if ctx.Err() != nil {
			return Name{Temporary: true}
		}
	}
}

// entry returns the entry for addr. If it is the caller's (mine), the caller must
// resolve it.
func (r *Resolver) entry(addr netip.Addr) (e *entry, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if el, ok := r.entries[addr]; ok {
		e := el.Value.(*entry)
		select {
		case <-e.done:
			if time.Now().Before(e.expires) {
				r.recent.MoveToFront(el)
				return e, false
			}
			r.remove(el)
		default:
			return e, false
		}
	}
	e = &entry{addr: addr, done: make(chan struct{})}
	r.entries[addr] = r.recent.PushFront(e)
	for r.recent.Len() > r.o.Size {
		r.remove(r.recent.Back())
	}
	return e, true
}

func (r *Resolver) remove(el *list.Element) {
	r.recent.Remove(el)
	delete(r.entries, el.Value.(*entry).addr)
}

// resolve looks e.addr up and completes e.
func (r *Resolver) resolve(ctx context.Context, e *entry) {
	defer close(e.done)
	r.mu.Lock()
	dead := r.dead
	r.mu.Unlock()
	if time.Now().Before(dead) {
		e.name, e.expires = Name{Temporary: true}, dead
		return
	}
	tctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	e.name = r.lookup(tctx, e.addr)
	ttl := r.o.TTL
	switch {
	case ctx.Err() != nil: // cancelled by the caller, which says nothing about the DNS
		ttl = 0
	case e.name.Temporary:
		ttl /= 10
	}
	e.expires = time.Now().Add(ttl)
	if ctx.Err() != nil {
		return
	}
	// After some lookups in a row that failed it is found out whether it is the DNS that is silent or just those
	// addresses' servers. The system's resolver may have given up before our time was over.
	r.mu.Lock()
	r.silent++
	if tctx.Err() == nil && !e.name.Temporary {
		r.silent = 0
	}
	suspected := r.silent >= deadAfter
	r.mu.Unlock()
	if !suspected {
		return
	}
	pctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	_, err := r.o.Lookup.LookupAddr(pctx, aliveAddr)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = 0
	if err != nil && temporary(err) && ctx.Err() == nil {
		r.dead = time.Now().Add(r.o.TTL / 10)
	}
}

// lookup returns the first name of addr that resolves to addr.
func (r *Resolver) lookup(ctx context.Context, addr netip.Addr) Name {
	names, err := r.o.Lookup.LookupAddr(ctx, addr.String())
	network := "ip4"
	if addr.Is6() {
		network = "ip6"
	}
	var n Name
	tried := 0
	for _, name := range names { // names can come with an error about others
		name = strings.TrimSuffix(name, ".")
		if !hostname(name) {
			continue
		}
		if n.Reverse == "" {
			n.Reverse = name
		}
		if tried++; tried > maxNames {
			break
		}
		// The final dot keeps the resolver from appending a search domain.
		addrs, err := r.o.Lookup.LookupNetIP(ctx, network, name+".")
		if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap().WithZone("") == addr }) {
			return Name{Verified: name, Reverse: name}
		}
		if err != nil && temporary(err) {
			n.Temporary = true
		}
	}
	if n.Reverse == "" {
		n.Temporary = err != nil && temporary(err)
	}
	return n
}

// temporary reports whether a retry may help. Only a definite "not found" of the DNS
// is permanent.
func temporary(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return !dns.IsNotFound
	}
	return true
}

// hostname reports whether s is a name of letters, digits, hyphens and underscores,
// and not an address. The owner of an address can put anything into its PTR record.
func hostname(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			switch ch := label[i]; {
			case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', ch == '-', ch == '_':
			default:
				return false
			}
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}
