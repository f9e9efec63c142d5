package imap

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// flood plays a session up to a FETCH and answers that without end.
func flood(conn net.Conn, head, chunk string) {
	r, ok := upToFetch(conn, head)
	for ok && r != nil {
		_, err := io.WriteString(conn, chunk)
		ok = err == nil
	}
}

// upToFetch plays a session up to a FETCH of UID 7, which it answers.
func upToFetch(conn net.Conn, answer string) (*bufio.Reader, bool) {
	r := bufio.NewReader(conn)
	for _, turn := range []struct {
		say  string
		hear int // lines
	}{
		{"* OK [CAPABILITY IMAP4rev1] x\r\n", 1},
		{"T1 OK [CAPABILITY IMAP4rev1] x\r\n", 2},
		{"T2 OK x\r\n* SEARCH 7\r\nT3 OK x\r\n", 1},
		{answer, 0},
	} {
		if _, err := io.WriteString(conn, turn.say); err != nil {
			return r, false
		}
		for range turn.hear {
			if _, err := r.ReadString('\n'); err != nil {
				return r, false
			}
		}
	}
	return r, true
}

// FuzzRetrieve answers a FETCH with anything. Retrieve must come back, and only with a
// message that stands in the answer behind its announcement.
func FuzzRetrieve(f *testing.F) {
	for _, s := range []string{
		"* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\nT4 OK x\r\n",
		"* 1 FETCH (UID 7 FLAGS (\\Seen) BODY[] \"abc\")\r\n* OK [X y] z\r\nT4 NO x\r\n",
		"* 1 FETCH (UID 7 BODY[] {3}\r\nabc BODY[] {1}\r\nx)\r\n* 1 EXPUNGE\r\n* BYE x\r\n",
		"* 1 FETCH (UID 7 ENVELOPE (\"a\" NIL NIL NIL NIL NIL NIL NIL NIL NIL) BODYSTRUCTURE (\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 1 1))\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		// A bubble finds every goroutine that hangs.
		synctest.Test(t, func(t *testing.T) { retrieveFrom(t, answer) })
	})
}

func retrieveFrom(t *testing.T, answer string) {
	client, peer := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer peer.Close()
		r, ok := upToFetch(peer, answer)
		for ok { // more commands get no answer; the client gives up when we do
			line, err := r.ReadString('\n')
			ok = err == nil && !strings.HasPrefix(line, "T5")
		}
	}()
	c, err := New(t.Context(), client, plaintext())
	if err != nil {
		t.Fatal(err)
	}
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	err = c.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
		if m.Err != nil {
			return nil
		}
		raw, err := io.ReadAll(m.Body)
		announced := fmt.Sprintf("{%d}\r\n%s", len(raw), raw)
		if err == nil && !strings.Contains(answer, announced) && !strings.Contains(answer, `"`) {
			t.Errorf("the message %q is not in the answer", raw)
		}
		return nil
	})
	if err == nil && !strings.Contains(strings.ToUpper(answer), "T4 ") {
		t.Error("Retrieve went well without an end of the command")
	}
	c.Abort()
	<-done
}

// Sessions leave no goroutine behind, however they end. The bubble ends when
// all its goroutines have, and fails where one stays.
func TestNoGoroutinesLeft(t *testing.T) {
	for _, end := range []string{"a failing reader", "Abort", "cancel", "Close", "nothing"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { endSession(t, end) })
		})
	}
}

func endSession(t *testing.T, end string) {
	store := fakeserver.NewStore()
	fetchtest.Fill(store, 50)
	c, refs := open(t, server(store), plaintext())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_ = c.Retrieve(ctx, refs, func(m fetch.Message) error {
		switch end {
		case "a failing reader":
			return io.ErrShortWrite
		case "Abort":
			c.Abort()
		case "cancel":
			cancel()
		}
		_, err := io.Copy(io.Discard, m.Body)
		return err
	})
	if end == "Close" {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Whatever a server sends without end, the session ends and memory does not grow.
func TestFlood(t *testing.T) {
	for name, server := range map[string]struct {
		head, chunk string
		alike       bool // as another, and slow
	}{
		"line":         {head: "* OK ", chunk: strings.Repeat("x", 1<<16)},
		"tag":          {head: "", chunk: strings.Repeat("T", 1<<16)},
		"string":       {head: "* FLAGS (\"", chunk: strings.Repeat("x", 1<<16)},
		"number":       {head: "* 1", chunk: strings.Repeat("1", 1<<16)},
		"lines":        {head: "", chunk: strings.Repeat("* OK still here\r\n", 4096)},
		"EXPUNGE":      {head: "", chunk: strings.Repeat("* 1 EXPUNGE\r\n", 4096), alike: true},
		"parentheses":  {head: "* 1 FETCH (BODYSTRUCTURE ", chunk: strings.Repeat("(", 1<<16)},
		"mailbox name": {head: "* LIST () \"/\" {9000000000}\r\n", chunk: strings.Repeat("x", 1<<16)},
		"names":        {head: "", chunk: strings.Repeat("* LIST () \"/\" {5}\r\nabcde\r\n", 2048)},
		"capabilities": {head: "", chunk: strings.Repeat("* CAPABILITY "+strings.Repeat("A B C D ", 4000)+"\r\n", 4)},
		"SEARCH":       {head: "* SEARCH", chunk: strings.Repeat(" 4294967295", 4096)},
		"descending":   {head: "* SEARCH", chunk: strings.Repeat(" 9 7 5 3 1", 4096)},
		"FETCH":        {head: "", chunk: strings.Repeat("* 1 FETCH (UID 7 FLAGS (a b c))\r\n", 4096), alike: true},
		"other bodies": {head: "", chunk: strings.Repeat("* 1 FETCH (UID 8 BODY[HEADER] {9}\r\n012345678)\r\n", 2048), alike: true},
	} {
		if server.alike && !everyFlood {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := fetchtest.Listen(t, func(conn net.Conn) { flood(conn, server.head, server.chunk) })
			before := heapInUse()
			c, err := New(t.Context(), fetchtest.Dial(t, s.Addr()), plaintext())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			listing, err := c.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			err = c.Retrieve(t.Context(), listing.Refs, func(fetch.Message) error { return nil })
			if fetch.KindOf(err) != fetch.Protocol {
				t.Errorf("got %v, want Kind protocol", err)
			}
			if heap := heapInUse(); heap > before+64<<20 {
				t.Errorf("%d MiB of heap in use, %d before", heap>>20, before>>20)
			}
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
