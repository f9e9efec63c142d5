package mailtest

import (
	"net"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Zone is what a name server knows.
type Zone struct {
	TXT   map[string]string
	Addrs map[string]string // name to address, and back
}

// Serve answers on port 53 until the test ends. For a test that is [Alone].
func (z Zone) Serve(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		query := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if reply, err := z.answer(query[:n]); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
}

func (z Zone) answer(query []byte) ([]byte, error) {
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
	asked := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	found := func(body dnsmessage.ResourceBody) {
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: rr, Body: body})
	}
	if text, ok := z.TXT[asked]; ok {
		reply.RCode = dnsmessage.RCodeSuccess
		if q.Type == dnsmessage.TypeTXT {
			var parts []string
			for ; len(text) > 250; text = text[250:] {
				parts = append(parts, text[:250])
			}
			found(&dnsmessage.TXTResource{TXT: append(parts, text)})
		}
	}
	for name, addr := range z.Addrs {
		ip := net.ParseIP(addr)
		switch {
		case asked == name:
			reply.RCode = dnsmessage.RCodeSuccess
			if v4 := ip.To4(); v4 != nil && q.Type == dnsmessage.TypeA {
				found(&dnsmessage.AResource{A: [4]byte(v4)})
			}
			if ip.To4() == nil && q.Type == dnsmessage.TypeAAAA {
				found(&dnsmessage.AAAAResource{AAAA: [16]byte(ip)})
			}
			if q.Type == dnsmessage.TypeMX {
				found(&dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName(name + ".")})
			}
		case strings.HasSuffix(asked, ".in-addr.arpa") && reversed(asked) == addr && q.Type == dnsmessage.TypePTR:
			reply.RCode = dnsmessage.RCodeSuccess
			found(&dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(name + ".")})
		}
		if strings.HasSuffix(name, "."+asked) && reply.RCode == dnsmessage.RCodeNameError {
			reply.RCode = dnsmessage.RCodeSuccess // a name above one that exists
		}
	}
	return reply.Pack()
}

// reversed is the address that a name below in-addr.arpa is about.
func reversed(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, ".in-addr.arpa"), ".")
	var b strings.Builder
	for i := len(labels) - 1; i >= 0; i-- {
		b.WriteString("." + labels[i])
	}
	return strings.TrimPrefix(b.String(), ".")
}
