package ui

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// The colours of an explanation, as SGR sequences.
const (
	sgrBold  = "\x1b[1m"
	sgrDim   = "\x1b[2m"
	sgrRed   = "\x1b[31m"
	sgrGreen = "\x1b[32m"
	sgrReset = "\x1b[0m"
)

// Explanation is what there is to say of one message.
type Explanation struct {
	Chain    *received.Chain
	Boundary received.Boundary
	// Run is what run would do with it.
	Run transfer.Presentation
	// Section is where the configuration has the keys of the account's target.
	Section string
	// Target is that target's name, "" without an account.
	Target string
	// Carrier is how the client is presented, "" where it is not.
	Carrier string
	// Commands present the client to an MTA that offers every attribute.
	Commands []string
	// Heading names the message.
	Heading ledger.Heading
}

// explainer writes the explanation of one message. Everything that comes from the message is sanitised: it
// may hold terminal escapes.
type explainer struct {
	w       *bufio.Writer
	columns int // 0 where they do not matter
	color   bool
}

// Print shows the chain from the top down, the boundary, the reason and the commands.
func (x *Explanation) Print(w io.Writer, name string, color bool) error {
	chain, b := x.Chain, x.Boundary
	l := explainer{bufio.NewWriter(w), columnsOf(w), color}
	l.line(sgrBold, "%s", fetch.Sanitize(name))
	if text := headingText(x.Heading); text != "-" {
		l.line("", "  %s", text)
	}
	proofs := chain.Proofs
	for i := range chain.Hops {
		for len(proofs) > 0 && proofs[0].At <= i {
			l.proof(&proofs[0], i <= b.Hop)
			proofs = proofs[1:]
		}
		h := &chain.Hops[i]
		mark, sgr := "  untrusted", sgrDim
		switch {
		case b.Hop == i:
			mark, sgr = "> boundary ", sgrGreen
		case i < b.Trusted:
			mark, sgr = "  trusted  ", ""
		case h.Err != nil && i == b.Trusted:
			mark, sgr = "! refused  ", sgrRed
		}
		// A hop counts as hops: and --hops do, from 1.
		l.fold(sgr, fmt.Sprintf("%s %2d  %s", mark, i+1, hopText(h)), 16)
	}
	for i := range proofs {
		l.proof(&proofs[i], false)
	}
	l.result(x)
	return l.w.Flush()
}

func (l *explainer) line(sgr, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.fold(sgr, text, len(text)-len(strings.TrimLeft(text, " "))+2)
}

// fold writes a line, and what of it is too long below, indented.
func (l *explainer) fold(sgr, text string, indented int) {
	for _, line := range folded(text, l.columns, indented) {
		if l.color && sgr != "" {
			line = sgr + line + sgrReset
		}
		fmt.Fprintln(l.w, line)
	}
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
		s.WriteString(": " + fetch.Printable(h.Err.Error()))
	}
	return s.String()
}

// proof shows a field that names the client.
func (l *explainer) proof(p *received.Proof, trusted bool) {
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
func (l *explainer) result(x *Explanation) {
	b := x.Boundary
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
	switch {
	case x.Run.StandIn && x.Carrier != "":
		l.line(sgrRed, "  run presents a stand-in: %s", reason("", x.Run.Why))
	case x.Run.Why != "":
		does := [...]string{
			transfer.Asked: "presents nobody", transfer.AskedPlain: "gives it to " + x.Section + ".plain",
			transfer.HeldBack: "holds it", transfer.Skipped: "skips it",
		}[x.Run.Treatment]
		l.line(sgrRed, "  run %s: %s", does, reason("", x.Run.Why))
	case x.Run.Client.Addr != b.Client.Addr:
		l.line("", "  A user logged in: run presents the host that took the login, as the account's submission says.")
	}
	if x.Run.Lookup {
		l.line("", "  NAME and REVERSE_NAME are looked up when the message is injected.")
	}
	switch carrier := x.Carrier; {
	case x.Run.Treatment != transfer.Asked, carrier == inject.XCLIENT.String():
	case carrier == "":
		l.line("", "  The client is not presented: %s.xclient is off, and the MTA takes this host for the client.", x.Section)
	default:
		l.line("", "  The client is presented by %s.carrier: %s.", x.Section, carrier)
	}
	for _, command := range x.Commands {
		l.line(sgrBold, "  %s", command)
	}
}
