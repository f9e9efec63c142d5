package received

import (
	"net/netip"
	"strings"
)

// A Proof is a field in which a receiver named the client that it saw: the
// result of an SPF check, or the address alone. Anybody can write such a field,
// so its position decides: above the Received field that it is about, only that
// receiver and the hosts behind it could have written it.
type Proof struct {
	Field  string // as written
	Addr   netip.Addr
	HELO   string
	Sender string // the reverse-path that was checked: an address, or its domain alone
	Writer string // authserv-id (RFC 8601) or receiver (RFC 7208); empty if not recorded
	At     int    // number of Received fields above it
}

// proofFields are the fields that may name a client, in lower case.
var proofFields = [...]string{
	"received-spf",
	"authentication-results",
	"arc-authentication-results",
	"x-forefront-antispam-report",
	"x-sender-ip",
	"x-originating-ip",
	"x-spam-source",
}

// parseProof reads a proof field. ok is false if name is not the name of one,
// or the value names no address.
func parseProof(name, value []byte) (p Proof, ok bool) {
	if len(name) < len("x-sender-ip") || len(value) > maxField {
		return p, false
	}
	field := knownField(proofFields[:], name)
	if field == "" {
		return p, false
	}
	_, v, bad := unfold(nil, value)
	if bad != nil {
		return p, false
	}
	v = strings.TrimSpace(v)
	p.Field = string(name)
	switch field {
	case "received-spf": // RFC 7208, 9.1: key-value pairs, or else the words of the comment
		p.Addr = addrAfter(v, "client-ip=")
		p.HELO = valueAfter(v, "helo=")
		if p.Sender = valueAfter(v, "envelope-from="); p.Sender == "" {
			p.Sender = valueAfter(v, "domain of ")
		}
		if p.Writer = valueAfter(v, "receiver="); p.Writer == "" {
			_, rest, _ := strings.Cut(v, "(")
			if w, _, ok := strings.Cut(rest, ": "); ok && strings.IndexByte(w, ' ') < 0 {
				p.Writer = w
			}
		}
		if !p.Addr.IsValid() {
			p.Addr = spfWords(v)
		}
	case "authentication-results":
		p.authResults(v)
	case "arc-authentication-results":
		if _, rest, found := strings.Cut(v, ";"); found && hasPrefixFold(v, "i=") {
			v = strings.TrimSpace(rest)
		}
		p.authResults(v)
	case "x-forefront-antispam-report":
		p.Addr = addrAfter(v, "CIP:")
		p.HELO = valueAfter(v, ";H:")
	case "x-spam-source":
		p.Addr = addrAfter(v, "IP='")
	default:
		p.Addr, _ = parseAddr(strings.Trim(v, "[]"))
	}
	return p, p.Addr.IsValid()
}

// authResults reads Authentication-Results (RFC 8601). Exchange Online writes no
// authserv-id before the first result.
func (p *Proof) authResults(v string) {
	id, _, _ := strings.Cut(v, ";")
	id, _, _ = strings.Cut(strings.TrimSpace(id), " ")
	if strings.IndexByte(id, '=') < 0 {
		p.Writer = id
	}
	for _, key := range [...]string{"sender IP is ", "smtp.remote-ip=", "smtp.client-ip=", "client-ip=", "policy.iprev="} {
		if p.Addr = addrAfter(v, key); p.Addr.IsValid() {
			break
		}
	}
	if !p.Addr.IsValid() {
		p.Addr = spfWords(v)
	}
	p.HELO = valueAfter(v, "smtp.helo=")
	p.Sender = valueAfter(v, "smtp.mailfrom=")
}

// spfWords finds the address in "designates X as permitted sender" and "X is
// neither permitted nor denied".
func spfWords(v string) netip.Addr {
	for _, key := range [...]string{"designates ", "designate "} {
		if a := addrAfter(v, key); a.IsValid() {
			return a
		}
	}
	if i := strings.Index(v, " is neither permitted"); i > 0 {
		j := strings.LastIndexByte(v[:i], ' ')
		a, _ := parseAddr(v[j+1 : i])
		return a
	}
	return netip.Addr{}
}

// addrAfter reads the address that follows key. It is invalid if none does.
func addrAfter(v, key string) netip.Addr {
	a, _ := parseAddr(valueAfter(v, key))
	return a
}

// valueAfter returns the text between key, in any case, and the next delimiter.
func valueAfter(v, key string) string {
	i := indexFold(v, key)
	if i < 0 {
		return ""
	}
	v = v[i+len(key):]
	if strings.HasPrefix(v, "\"") {
		v = v[1:]
		if end := strings.IndexByte(v, '"'); end >= 0 {
			return v[:end]
		}
	}
	if end := strings.IndexAny(v, " \t\r\n;,)'\""); end >= 0 {
		v = v[:end]
	}
	return v
}
