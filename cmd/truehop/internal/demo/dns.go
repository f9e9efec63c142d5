package demo

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS answers reverse and forward look-ups of clients on a UDP port of this machine, so that nobody else
// is asked.
type DNS struct {
	conn  net.PacketConn
	names map[netip.Addr]string
	done  sync.WaitGroup
}

// StartDNS serves these names until Close.
func StartDNS(ctx context.Context, names map[netip.Addr]string) (*DNS, error) {
	var listen net.ListenConfig
	conn, err := listen.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &DNS{conn: conn, names: names}
	d.done.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := d.conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := d.answer(buf[:n]); err == nil {
				_, _ = d.conn.WriteTo(answer, from) // the asker asks again
			}
		}
	})
	return d, nil
}

// Addr is where it listens, as HOST:PORT.
func (d *DNS) Addr() string { return d.conn.LocalAddr().String() }

// Close stops it.
func (d *DNS) Close() {
	_ = d.conn.Close() // ends the reading
	d.done.Wait()
}

// answer composes the reply to one query: a PTR or address record, or NXDOMAIN.
func (d *DNS) answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: dnsmessage.RCodeNameError},
		Questions: []dnsmessage.Question{q},
	}
	rr := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60}
	asked := strings.ToLower(q.Name.String())
	for addr, name := range d.names {
		switch {
		case q.Type == dnsmessage.TypePTR && asked == reverseName(addr):
			reply.RCode = dnsmessage.RCodeSuccess
			reply.Answers = []dnsmessage.Resource{{Header: rr, Body: &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(name + ".")}}}
		case asked == name+".":
			reply.RCode = dnsmessage.RCodeSuccess
			if q.Type == dnsmessage.TypeA && addr.Is4() {
				reply.Answers = []dnsmessage.Resource{{Header: rr, Body: &dnsmessage.AResource{A: addr.As4()}}}
			}
			if q.Type == dnsmessage.TypeAAAA && addr.Is6() {
				reply.Answers = []dnsmessage.Resource{{Header: rr, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}}
			}
		}
	}
	return reply.Pack()
}

// reverseName is where the PTR record of an address stands (RFC 1035 section 3.5, RFC 3596 section 2.5).
func reverseName(addr netip.Addr) string {
	const digits = "0123456789abcdef"
	var labels []string
	if addr.Is4() {
		labels = strings.Split(addr.String(), ".")
	} else {
		for _, b := range addr.As16() {
			labels = append(labels, digits[b>>4:b>>4+1], digits[b&15:b&15+1])
		}
	}
	var b strings.Builder
	for i := len(labels) - 1; i >= 0; i-- {
		b.WriteString(labels[i] + ".")
	}
	if addr.Is4() {
		return b.String() + "in-addr.arpa."
	}
	return b.String() + "ip6.arpa."
}
