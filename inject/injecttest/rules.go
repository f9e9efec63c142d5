package injecttest

import (
	"net/netip"
	"slices"
	"strings"
)

// Rules judge the presented client, at RCPT as Postfix does by default.
type Rules struct {
	// Listed clients are refused with 554 5.7.1.
	Listed []netip.Prefix
	// NoReverse refuses a client without reverse name: "450" or "550", "" for neither. A
	// reverse name that is only temporarily unavailable always gets 450.
	NoReverse string
	// NoName refuses a client without verified name, likewise.
	NoName string
	// BadHELO are names that EHLO is refused for with 554 5.7.1.
	BadHELO []string
	// Greylist refuses each new triplet of client, sender and recipient once with 450 4.2.0,
	// but for clients in Known.
	Greylist bool
	Known    []netip.Prefix
	// Recipient, if not nil, judges a client's mail to one recipient: a reply of 4xx or 5xx, or "" where
	// there is nothing against it.
	Recipient func(c Client, to string) string
	// Early applies the rules for the client to XCLIENT itself, as smtpd_delay_reject=no does.
	Early bool
	// Relay lets only loopback clients and those who logged in send to recipients that
	// are not known. Without it unknown recipients are refused in any case.
	Relay bool
}

// client judges the client alone, "" if there is nothing against it.
func (r Rules) client(c Client) string {
	addr, _ := netip.ParseAddr(c.Addr)
	for _, p := range r.Listed {
		if p.Contains(addr.Unmap()) {
			return "554 5.7.1 <" + c.Name + "[" + c.Addr + "]>: Client host rejected: listed"
		}
	}
	if r.NoReverse != "" {
		if v := nameless(r.NoReverse, c.ReverseName, "reverse hostname", c.Addr); v != "" {
			return v
		}
	}
	if r.NoName != "" {
		return nameless(r.NoName, c.Name, "hostname", c.Addr)
	}
	return ""
}

func nameless(code, name, what, addr string) string {
	switch name {
	case "[UNAVAILABLE]":
		return code + " " + code[:1] + ".7.1 Client host rejected: cannot find your " + what + ", [" + addr + "]"
	case "[TEMPUNAVAIL]":
		return "450 4.7.1 Client host rejected: cannot find your " + what + ", [" + addr + "]"
	}
	return ""
}

// recipient judges one RCPT.
func (c *conn) recipient(to string) string {
	s := c.s
	if v := s.o.Rules.client(c.client); v != "" {
		return v
	}
	if judge := s.o.Rules.Recipient; judge != nil {
		if v := judge(c.client, to); v != "" {
			return v
		}
	}
	known := s.o.Recipients == nil
	for _, r := range s.o.Recipients {
		known = known || strings.EqualFold(r, to)
	}
	if !known {
		if !s.o.Rules.Relay {
			return "550 5.1.1 <" + to + ">: Recipient address rejected: User unknown"
		}
		addr, _ := netip.ParseAddr(c.client.Addr)
		if !addr.IsLoopback() && c.user == "" && c.client.Login == "[UNAVAILABLE]" {
			return "554 5.7.1 <" + to + ">: Relay access denied"
		}
	}
	// Greylisting remembers the triplet.
	key := c.client.Addr + "\x00" + c.message.From + "\x00" + to
	s.mu.Lock()
	defer s.mu.Unlock()
	addr, err := netip.ParseAddr(c.client.Addr)
	exempt := err == nil && slices.ContainsFunc(s.o.Rules.Known, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
	if exempt || !s.o.Rules.Greylist || s.greylist[key] {
		return ""
	}
	s.greylist[key] = true
	return "450 4.2.0 <" + to + ">: Recipient address rejected: Greylisted"
}
