package injecttest

import (
	"net/netip"
	"strconv"
	"strings"
)

// present takes XCLIENT as Postfix does: attributes are applied one by one, those not sent
// keep their values but for HELO, PROTO and LOGIN, and those before a bad one have been applied.
func (c *conn) present(args string) {
	pairs := strings.Fields(args)
	switch {
	case !c.authorised():
		c.reply(XCLIENT, "550 5.7.0 Error: insufficient authorization")
		return
	case c.inMail:
		c.reply(XCLIENT, "503 5.5.1 Error: MAIL transaction in progress")
		return
	case len(pairs) == 0:
		c.reply(XCLIENT, "501 5.5.4 Syntax: XCLIENT attribute=value...")
		return
	}
	next := c.client
	if !c.s.o.KeepsUnavailable {
		next.HELO, next.Proto, next.Login = "[UNAVAILABLE]", "SMTP", "[UNAVAILABLE]"
	}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		complaint := ""
		switch {
		case !ok || value == "":
			complaint = "Error: attribute=value expected"
		case len(value) > 255:
			complaint = "Error: attribute value too long"
		case c.s.o.KeepsUnavailable && strings.EqualFold(value, "[UNAVAILABLE]"):
		default:
			complaint = next.set(upper(name), value, !c.s.o.Before23)
		}
		if complaint != "" {
			c.client = next
			c.reply(XCLIENT, "501 5.5.4 "+complaint)
			return
		}
	}
	if _, err := netip.ParseAddr(next.Addr); c.s.o.NeedsAddr && err != nil {
		c.reply(XCLIENT, "501 5.5.4 No valid IP address found")
		return
	}
	c.client = next
	if c.s.o.Before23 {
		c.reply(XCLIENT, "250 Ok")
		return
	}
	c.xclient, c.hello, c.inMail, c.user = true, "", false, ""
	if v := c.s.o.Rules.client(c.client); v != "" && c.s.o.Rules.Early {
		c.reply(XCLIENT, v)
		c.dead = true
		return
	}
	c.reply(XCLIENT, "220 "+c.s.o.Hostname+" ESMTP injecttest")
}

// set applies one attribute and returns the complaint about it, if any.
func (cl *Client) set(name, value string, xtext bool) string {
	decoded := value
	if xtext {
		decoded = unxtext(value)
	}
	gone := strings.EqualFold(decoded, "[UNAVAILABLE]")
	bad := "Bad " + name + " syntax: " + value
	switch name {
	case "NAME":
		temp := strings.EqualFold(decoded, "[TEMPUNAVAIL]")
		if !gone && !temp && !hostname(decoded) {
			return bad
		}
		cl.Name = decoded
		if !gone && !temp {
			cl.ReverseName = decoded
		}
	case "REVERSE_NAME":
		if !gone && !strings.EqualFold(decoded, "[TEMPUNAVAIL]") && !hostname(decoded) {
			return bad
		}
		cl.ReverseName = decoded
	case "ADDR", "DESTADDR":
		v, ok := address(decoded)
		if !gone && !ok {
			return bad
		}
		if gone {
			v = decoded
		}
		if name == "ADDR" {
			cl.Addr = v
		} else {
			cl.DestAddr = v
		}
	case "PORT", "DESTPORT":
		_, err := strconv.ParseUint(decoded, 10, 32)
		number := err == nil && len(decoded) <= 5
		if !gone && !number {
			return bad
		}
		if name == "PORT" {
			cl.Port = decoded
		} else {
			cl.DestPort = decoded
		}
	case "HELO":
		cl.HELO = decoded
	case "PROTO":
		if p := upper(decoded); p != "SMTP" && p != "ESMTP" {
			return bad
		}
		cl.Proto = upper(decoded)
	case "LOGIN":
		cl.Login = decoded
	default:
		return "Bad XCLIENT attribute name: " + name
	}
	return ""
}

// forward takes XFORWARD: nothing the rules look at changes.
func (c *conn) forward(args string) {
	if len(c.s.o.XFORWARD) == 0 {
		c.say("550 5.7.0 Error: insufficient authorization")
		return
	}
	if c.inMail {
		c.say("503 5.5.1 Error: MAIL transaction in progress")
		return
	}
	c.reply(XFORWARD, "250 2.0.0 Ok")
}

// hostname is what Postfix's valid_hostname takes.
func hostname(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil || s == "" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			switch ch := label[i]; {
			case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', ch == '-', ch == '_':
			default:
				return false
			}
		}
	}
	return true
}

func address(s string) (string, bool) {
	v6, is6 := s, false
	if len(s) > 5 && strings.EqualFold(s[:5], "IPV6:") {
		v6, is6 = s[5:], true
	}
	a, err := netip.ParseAddr(v6)
	if err != nil || a.Zone() != "" || a.Is6() != is6 {
		return "", false
	}
	return a.Unmap().String(), true
}

// unxtext decodes RFC 3461's xtext; what is none is taken as it is, as Postfix does.
func unxtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '+' {
			if i+2 >= len(s) {
				return s
			}
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return s
			}
			b.WriteByte(byte(v))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
