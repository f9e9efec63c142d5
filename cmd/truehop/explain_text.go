package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
)

// The colours of the ladder, as SGR sequences.
const (
	sgrBold  = "\x1b[1m"
	sgrDim   = "\x1b[2m"
	sgrRed   = "\x1b[31m"
	sgrGreen = "\x1b[32m"
	sgrReset = "\x1b[0m"
)

// xclientLines are the commands that present the boundary's client to an MTA
// that offers every attribute.
func xclientLines(b received.Boundary) []string {
	c := inject.Client{ESMTP: b.ESMTP}
	if b.Found {
		c = inject.Client{
			Addr: b.Client.Addr, Name: b.Client.Name, ReverseName: b.Client.Name,
			HELO: b.Client.HELO, Port: b.Client.Port, ESMTP: b.ESMTP,
		}
	}
	c, _ = c.Safe(nil)
	return c.Commands(inject.AllAttributes())
}

// A ladder writes a chain from the top down. Everything that comes from the
// message is sanitised: it may hold terminal escapes.
type ladder struct {
	w     *bufio.Writer
	color bool
}

// renderText shows the chain, the boundary, the reason and the command.
func renderText(w io.Writer, name string, chain *received.Chain, b received.Boundary, color bool) error {
	l := ladder{bufio.NewWriter(w), color}
	l.line(sgrBold, "%s", fetch.Sanitize(name))
	proofs := chain.Proofs
	for i := range chain.Hops {
		for len(proofs) > 0 && proofs[0].At <= i {
			l.proof(&proofs[0], i <= b.Hop)
			proofs = proofs[1:]
		}
		l.hop(i, &chain.Hops[i], b)
	}
	for i := range proofs {
		l.proof(&proofs[i], false)
	}
	l.result(b)
	return l.w.Flush()
}

func (l *ladder) line(sgr, format string, args ...any) {
	if l.color && sgr != "" {
		format = sgr + format + sgrReset
	}
	fmt.Fprintf(l.w, format+"\n", args...)
}

// hop shows one Received field: who wrote it, and whom it saw. It counts as hops: and --hops do, from 1.
func (l *ladder) hop(i int, h *received.Hop, b received.Boundary) {
	mark, sgr := "  untrusted", sgrDim
	switch {
	case b.Hop == i:
		mark, sgr = "> boundary ", sgrGreen
	case i < b.Trusted:
		mark, sgr = "  trusted  ", ""
	case h.Err != nil && i == b.Trusted:
		mark, sgr = "! refused  ", sgrRed
	}
	l.line(sgr, "%s %2d  %s", mark, i+1, hopText(h))
}

// hopText describes a field in one line.
func hopText(h *received.Hop) string {
	var s strings.Builder
	s.WriteString(orDash(h.By))
	if h.With != "" {
		s.WriteString(" with " + fetch.Sanitize(h.With))
	}
	switch {
	case h.Addr.IsValid():
		s.WriteString(" from " + h.Addr.String())
	case h.Kind == received.Noise, h.Kind == received.ByOnly:
	default:
		s.WriteString(" from an address that is not recorded")
	}
	if h.Name != "" {
		s.WriteString(" (" + fetch.Sanitize(h.Name))
		if !h.NameVerified {
			s.WriteString(", not verified")
		}
		s.WriteString(")")
	}
	if h.HELO != "" {
		s.WriteString(" as " + fetch.Sanitize(h.HELO))
	}
	fmt.Fprintf(&s, " [%s %s]", h.Form, h.Kind)
	if h.Err != nil {
		s.WriteString(": " + h.Err.Error())
	}
	return s.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return fetch.Sanitize(s)
}

// proof shows a field that names the client.
func (l *ladder) proof(p *received.Proof, trusted bool) {
	sgr := sgrDim
	if trusted {
		sgr = ""
	}
	by := ""
	if p.Writer != "" {
		by = " by " + fetch.Sanitize(p.Writer)
	}
	l.line(sgr, "                 %s%s says %s", fetch.Sanitize(p.Field), by, p.Addr)
}

// result shows the answer, the reason, and the commands.
func (l *ladder) result(b received.Boundary) {
	sgr, head := sgrGreen, "client "+b.Client.Addr.String()
	if !b.Found {
		sgr, head = sgrRed, "no client"
	}
	if b.Confirmed {
		head += ", confirmed"
	}
	if b.Provider != "" {
		head += ", by the policy " + b.Provider
	}
	l.line(sgr, "%s (%s)", head, b.Outcome)
	l.line("", "  %s", fetch.Sanitize(b.Why))
	if b.Authenticated && b.Found {
		l.line("", "  A user logged in: unless the account says submission: client, this address is not presented.")
	}
	if b.Found && b.Client.Name == "" {
		l.line("", "  No verified name is recorded: NAME and REVERSE_NAME are looked up when the message is injected.")
	}
	for _, x := range xclientLines(b) {
		l.line(sgrBold, "  %s", x)
	}
}
