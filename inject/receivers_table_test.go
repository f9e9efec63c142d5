//go:build unix

package inject_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
)

var update = flag.Bool("update", false, "rewrite the rows of the README's table of receivers that could be tried")

// clientSeen is what a receiver shows of the client of one message; "" is what it does not show.
type clientSeen struct{ addr, name, helo, port string }

// receiver is a real program that takes mail, set up in one way: one row of the README's table.
type receiver struct {
	program, carrier string
	options          inject.Options
	// start starts the program.
	start func(*testing.T) trial
}

// trial is a receiver that runs.
type trial struct {
	dial inject.Dialer
	// shown returns what the program shows of the client of a message, by the message's number and receipt.
	shown func(t *testing.T, n int, r inject.Receipt) clientSeen
	// others, if not nil, returns what is seen elsewhere, or "".
	others func(t *testing.T, n int) string
	// names, if not nil, is a listener that refuses clients without a name.
	names inject.Dialer
}

// receiverClients are the clients of the README's columns.
var receiverClients = []inject.Client{
	{Addr: netip.MustParseAddr("198.51.100.7"), Name: "mail.example.net", HELO: "helo.example.net", Port: 4711, ESMTP: true},
	{Addr: netip.MustParseAddr("192.0.0.8"), ESMTP: true}, // the stand-in
	{Addr: netip.MustParseAddr("2001:db8::7"), Name: "six.example.net", HELO: "helo6.example.net", Port: 4712, ESMTP: true},
	{Addr: netip.MustParseAddr("203.0.113.9"), NameTemporary: true, HELO: "helo9.example.net", Port: 4713, ESMTP: true},
}

const (
	receiversBegin = "<!-- receivers begin -->\n"
	receiversEnd   = "<!-- receivers end -->\n"
	receiversHead  = "| receiver | carrier | known client | client not known | IPv6 | name not known for now |\n|---|---|---|---|---|---|\n"
)

// TestReadmeReceivers: each row of the README's table of receivers is what the program itself shows. Rows of programs that are not
// here are left alone.
func TestReadmeReceivers(t *testing.T) {
	const readme = "../README.md"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begins := strings.Cut(string(text), receiversBegin)
	is, tail, ends := strings.Cut(rest, receiversEnd)
	if !begins || !ends {
		t.Fatal("the README has no place for the receivers")
	}
	want := receiversHead
	for _, r := range receivers {
		title := "| " + r.program + " | " + r.carrier + " |"
		row := ""
		for line := range strings.Lines(is) {
			if strings.HasPrefix(line, title) {
				row = line
			}
		}
		t.Run(r.program+" by "+r.carrier, func(t *testing.T) {
			row = title + " " + strings.Join(r.cells(t), " | ") + " |\n"
		})
		want += row
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(readme, []byte(head+receiversBegin+want+receiversEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if is != want {
		t.Errorf("the receivers in the README are old (go test ./inject -run ReadmeReceivers -update rewrites them); they should be\n%s", want)
	}
}

// cells returns the columns of a receiver: what it shows of each client. The clients' messages follow one another, and nothing of one
// may show at another.
func (r receiver) cells(t *testing.T) []string {
	trial := r.start(t)
	receipts := injectAll(t, trial.dial, r.options, receiverMessages()...)
	var cells []string
	for n, c := range receiverClients {
		if receipts[n].Outcome != inject.Delivered {
			cells = append(cells, undelivered(receipts[n]))
			continue
		}
		cell := inWords(t, c, trial.shown(t, n, receipts[n]))
		if trial.others != nil {
			cell += trial.others(t, n)
		}
		cells = append(cells, cell)
	}
	if trial.names == nil {
		return cells
	}
	for n, receipt := range injectAll(t, trial.names, r.options, receiverMessages()...) {
		if receipt.Outcome != inject.Delivered {
			cells[n] += fmt.Sprintf("; a rule about names answers %d", receipt.Reply.Code)
		}
	}
	return cells
}

// receiverMessages are one message for each of receiverClients, in their order.
func receiverMessages() []*inject.Message {
	var messages []*inject.Message
	for n, c := range receiverClients {
		m := message(n)
		m.Client, m.To = c, []string{fmt.Sprintf("user%d@example.org", n)}
		messages = append(messages, m)
	}
	return messages
}

// undelivered says why a message was not delivered.
func undelivered(r inject.Receipt) string {
	if r.Err != nil {
		return "nothing: " + r.Err.Text
	}
	return fmt.Sprintf("nothing: %v by %d", r.Outcome, r.Reply.Code)
}

// inWords says what of a client is seen. What is seen and is not the client's is an error.
func inWords(t *testing.T, c inject.Client, s clientSeen) string {
	t.Helper()
	literal := "[" + c.Addr.String() + "]"
	var words []string
	switch s.addr {
	case c.Addr.String():
		words = append(words, "address")
	case "127.0.0.1":
		words = append(words, "this host")
	default:
		t.Errorf("client %s is seen with the address %q", c.Addr, s.addr)
	}
	switch s.name {
	case "":
	case c.Name:
		words = append(words, "name")
	default:
		t.Errorf("client %s is seen with the name %q", c.Addr, s.name)
	}
	switch s.helo {
	case "":
	case c.HELO:
		words = append(words, "HELO")
	case literal:
		words = append(words, "HELO `"+literal+"`")
	default:
		t.Errorf("client %s is seen with the HELO %q", c.Addr, s.helo)
	}
	unknown := s.port == "0" || s.port == "1" // PROXY has no word for a port that is not known
	switch {
	case s.port == "":
	case c.Port == 0 && unknown:
		words = append(words, "port "+s.port)
	case s.port == fmt.Sprint(c.Port):
		words = append(words, "port")
	default:
		t.Errorf("client %s is seen with the port %q", c.Addr, s.port)
	}
	return strings.Join(words, ", ")
}
