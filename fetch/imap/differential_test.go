package imap

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"

	imapwire "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// FuzzGuardAgreesWithLibrary: of well-formed FETCH responses go-imap makes the same of what the guard hands it as of what
// the server said.
func FuzzGuardAgreesWithLibrary(f *testing.F) {
	for _, choices := range []string{"", "\x00", "\x03\x01\x02\x03\x04\x05\x06\x07", "\x02\xff\xfe\xfd{5}\r\n)(\"\\", "\x04" + strings.Repeat("\x05\x01\x09)", 60)} {
		f.Add([]byte(choices))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		said := (&composer{choices: choices}).responses()
		plain, err := fetchedFrom(said, nil)
		if err != nil {
			t.Fatalf("go-imap does not read what is meant to be well-formed: %v\n%q", err, said)
		}
		guarded, err := fetchedFrom(said, func(conn net.Conn) net.Conn {
			g := guardOver(conn, Options{})
			g.begin(0)
			return g
		})
		if err != nil || !reflect.DeepEqual(plain, guarded) {
			t.Errorf("of %q\ngo-imap reads      %+v\nbehind the guard   %+v (%v)", said, plain, guarded, err)
		}
	})
}

// TestComposedResponsesHoldMail: what the fuzzing compares is not nothing.
func TestComposedResponsesHoldMail(t *testing.T) {
	said := (&composer{choices: []byte("\x02" + "\x00\x00\x00\x00\x03{1}\x00" + "\x01\x09\x01\x01\x07\x08\x02\x01")}).responses()
	got, err := fetchedFrom(said, nil)
	want := []message{{number: 1, uid: 1, body: "{1}"}, {number: 2, uid: 11, size: 56, body: "a (b) {3}"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("of %q\ngo-imap reads %+v (%v), want %+v", said, got, err, want)
	}
}

// message is what is read of one.
type message struct {
	number, uid uint32
	size        int64
	body        string
}

// fetchedFrom has go-imap fetch from a server that answers with these responses.
func fetchedFrom(said string, wrap func(net.Conn) net.Conn) ([]message, error) {
	client, server := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer server.Close()
		_, _ = io.WriteString(server, "* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n")
		commands := bufio.NewReader(server)
		line, _ := commands.ReadString('\n')
		tag, _, _ := strings.Cut(line, " ")
		_, _ = io.WriteString(server, said+tag+" OK done\r\n")
		_, _ = io.Copy(io.Discard, commands)
	}()
	conn := client
	if wrap != nil {
		conn = wrap(client)
	}
	c := imapclient.New(conn, nil)
	defer func() {
		_ = c.Close()
		<-served
	}()
	buffers, err := c.Fetch(imapwire.SeqSet{{Start: 1}}, &imapwire.FetchOptions{
		UID: true, RFC822Size: true, BodySection: []*imapwire.FetchItemBodySection{{}},
	}).Collect()
	var all []message
	for _, b := range buffers {
		m := message{number: b.SeqNum, uid: uint32(b.UID), size: b.RFC822Size}
		for _, section := range b.BodySection {
			m.body += string(section.Bytes)
		}
		all = append(all, m)
	}
	return all, err
}

// composer writes well-formed responses, as its choices have it: none left is 0.
type composer struct {
	choices []byte
	uid     uint32
	sized   bool // the response under way is to have no size any more: two that differ are not well-formed
}

func (c *composer) choose(n int) int {
	if len(c.choices) == 0 {
		return 0
	}
	chosen := int(c.choices[0]) % n
	c.choices = c.choices[1:]
	return chosen
}

func (c *composer) octets(n int) string {
	n = min(n, len(c.choices))
	taken := c.choices[:n]
	c.choices = c.choices[n:]
	return string(taken)
}

func (c *composer) responses() string {
	var said strings.Builder
	for number := range c.choose(5) {
		said.WriteString([]string{"", "* OK still here\r\n", "* 9 EXISTS\r\n"}[c.choose(3)])
		c.uid, c.sized = c.uid+1+uint32(c.choose(256)), false
		items := []string{fmt.Sprintf("UID %d", c.uid)}
		for range c.choose(4) {
			items = append(items, c.item())
		}
		items = append(items, c.bodyItem())
		if c.choose(2) == 1 {
			c.sized = true // of what stands behind a body the guard hands on the UID only
			items = append(items, c.item())
		}
		fmt.Fprintf(&said, "* %d FETCH (%s)\r\n", number+1, strings.Join(items, " "))
	}
	return said.String()
}

// item is one that may stand before the body or behind it.
func (c *composer) item() string {
	switch c.choose(5) {
	case 1:
		size := c.choose(256) * c.choose(256)
		if c.sized {
			return "FLAGS ()"
		}
		c.sized = true
		return fmt.Sprintf("RFC822.SIZE %d", size)
	case 2:
		return "FLAGS (" + []string{"", `\Seen`, `\Seen \Answered $Junk`, "a-b_c"}[c.choose(4)] + ")"
	case 3:
		return `INTERNALDATE "17-Jul-2026 02:44:25 -0700"`
	case 4:
		return fmt.Sprintf("MODSEQ (%d)", 1+c.choose(256))
	}
	return fmt.Sprintf("UID %d", c.uid)
}

// bodyItem is the body as a literal, a quoted string, or NIL.
func (c *composer) bodyItem() string {
	switch c.choose(4) {
	case 1:
		return "BODY[] NIL"
	case 2:
		return `BODY[] "` + []string{"", "a (b) {3}", `\"quoted\" \\`}[c.choose(3)] + `"`
	}
	text := c.octets(c.choose(256))
	return fmt.Sprintf("BODY[] {%d}\r\n%s", len(text), text)
}
