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
		p.Addr = clientIn(v, spfKeys[:])
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
	case "authentication-results":
		p.authResults(v)
	case "arc-authentication-results":
		if _, rest, found := strings.Cut(v, ";"); found && hasPrefixFold(v, "i=") {
			v = strings.TrimSpace(rest)
		}
		p.authResults(v)
	case "x-forefront-antispam-report":
		p.Addr = clientIn(v, []string{"CIP:"})
		p.HELO = valueAfter(v, ";H:")
	case "x-spam-source":
		p.Addr = clientIn(v, []string{"IP='"})
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
	p.Addr = clientIn(v, spfKeys[:])
	p.HELO = valueAfter(v, "smtp.helo=")
	p.Sender = valueAfter(v, "smtp.mailfrom=")
}

// spfKeys are the words before the client's address in results of SPF and of reverse lookups.
var spfKeys = [...]string{"client-ip=", "sender IP is ", "smtp.remote-ip=", "smtp.client-ip=", "policy.iprev=", "designates ", "designate "}

// clientIn returns the address behind one of the keys, or before "is neither permitted". The
// value also holds what the client said, its HELO and the sender, and either may look like
// such a key. So a key counts only where a word begins, and none where one stands between quotation marks. If two
// addresses are left, neither counts.
func clientIn(v string, keys []string) netip.Addr {
	var found netip.Addr
	if strings.IndexByte(v, '\\') >= 0 {
		return found // of a quotation mark behind one nobody knows whether it ends the quotation
	}
	quoted := false
	for i := 0; i < len(v); i++ {
		if v[i] == '"' {
			quoted = !quoted
		}
		begins := i == 0 || strings.IndexByte(" ;(", v[i-1]) >= 0
		if !begins {
			continue
		}
		a := clientAt(v[i:], keys)
		switch {
		case !a.IsValid():
		case quoted:
			return netip.Addr{} // somebody who quotes an address wants it read
		case found.IsValid() && a != found:
			return netip.Addr{}
		default:
			found = a
		}
	}
	return found
}

// clientAt is clientIn for the word that v begins with.
func clientAt(v string, keys []string) netip.Addr {
	for _, key := range keys {
		if !hasPrefixFold(v, key) {
			continue
		}
		v = v[len(key):]
		value := valueOf(v)
		if strings.HasPrefix(v[len(value):], "'") && !strings.HasSuffix(key, "'") {
			return netip.Addr{} // client-ip=192.0.2.1'x@example.org is a sender
		}
		a, _ := parseAddr(value)
		return a
	}
	word, rest, _ := strings.Cut(v[:min(len(v), len("ffff:")*8+len("is neither permitted"))], " ")
	if strings.HasPrefix(rest, "is neither permitted") {
		a, _ := parseAddr(word)
		return a
	}
	return netip.Addr{}
}

// valueAfter returns the text between key, in any case, and the next delimiter.
func valueAfter(v, key string) string {
	i := indexFold(v, key)
	if i < 0 {
		return ""
	}
	return valueOf(v[i+len(key):])
}

// valueOf returns the value that v begins with: what stands between quotation marks, or before
// the next delimiter.
func valueOf(v string) string {
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
