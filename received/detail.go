package received

import (
	"slices"
	"strings"
)

// Recipients returns all recipients that the field names, without angle brackets: For
// and those behind it.
func (h *Hop) Recipients() []string {
	if h.For == "" {
		return nil
	}
	return append([]string{h.For}, h.more...)
}

// recipients takes the recipients behind "for". It returns the number of tokens taken.
func (p *parser) recipients(t []token) int {
	taken := 0
	for taken < len(t) && t[taken].key == kwNone {
		kind := t[taken].kind
		to := strings.Trim(p.text(t[taken]), ",")
		address := kind == angle || strings.IndexByte(to, '@') >= 0
		switch {
		case kind != word && kind != angle && kind != quoted:
			return taken
		case p.hop.For == "" && to != "":
			p.hop.For = to
		case to == "":
		case !address:
			return taken
		default:
			p.hop.more = append(p.hop.more, to)
		}
		taken++
	}
	return taken
}

// phrase takes the words behind a keyword as one text, unless there is one already. It
// returns the number of tokens taken.
func (p *parser) phrase(t []token, to *string) int {
	taken := 0
	for taken < len(t) && t[taken].key == kwNone && slices.Contains([]tokenKind{word, literal}, t[taken].kind) {
		taken++
	}
	if taken > 0 && *to == "" {
		*to = p.s[t[0].pos:t[taken-1].end]
	}
	return taken
}

// session takes version and cipher of TLS out of a remark: Postfix's "using TLSv1.3 with
// cipher X (256/256 bits)", Exchange's and Gmail's "version=TLS1_3 cipher=X", Exim's
// "TLS1.3" and "TLSv1.2:X:256".
func (p *parser) session(remark string) {
	before := ""
	for i := 0; i < len(remark); i++ {
		start := i
		for i < len(remark) && !betweenWords[remark[i]] {
			i++
		}
		if start == i {
			continue
		}
		if p.hop.TLSVersion != "" && p.hop.TLSCipher != "" {
			return
		}
		w := remark[start:i]
		switch {
		case hasPrefixFold(w, "version="):
			p.negotiated(w[len("version="):], "")
		case hasPrefixFold(w, "cipher="):
			p.negotiated("", w[len("cipher="):])
		case foldEqual(before, "cipher"):
			p.negotiated("", w)
		case hasPrefixFold(w, "TLS"), hasPrefixFold(w, "SSL"):
			version, cipher, _ := strings.Cut(w, ":")
			cipher, _, _ = strings.Cut(cipher, ":")
			p.negotiated(version, cipher)
		}
		before = w
	}
}

// betweenWords holds the octets between the words of such a remark.
var betweenWords = [256]bool{' ': true, ',': true, '(': true, ')': true}

// negotiated sets version and cipher where they are given and not known yet.
func (p *parser) negotiated(version, cipher string) {
	if p.hop.TLSVersion == "" {
		p.hop.TLSVersion = tlsVersion(version)
	}
	if p.hop.TLSCipher == "" {
		p.hop.TLSCipher = cipher
	}
}

// tlsVersions are the names of [Hop.TLSVersion].
var tlsVersions = [...]string{"TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1.0", "TLSv1", "SSLv3", "SSLv2"}

// tlsVersion returns the name of a version that writers write in many ways, such as
// TLSv1.3, TLS1.3, TLS1_3, or "" if it is none.
func tlsVersion(s string) string {
	if len(s) < 4 || len(s) > 8 {
		return ""
	}
	number := s[3:]
	if number[0]|0x20 == 'v' {
		number = number[1:]
	}
	for _, v := range tlsVersions {
		if !foldEqual(s[:3], v[:3]) || len(number) != len(v)-4 {
			continue
		}
		same := true
		for i := range len(number) {
			switch number[i] {
			case v[4+i], '_':
			default:
				same = false
			}
		}
		if same {
			return v
		}
	}
	return ""
}
