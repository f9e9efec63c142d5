package pop3_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

func TestRetrieveRefused(t *testing.T) {
	// One refused, the rest go on; content comes by RETR only.
	for reply, kind := range map[string]fetch.Kind{
		"-ERR no such message":        fetch.Gone,
		"-ERR Message is deleted.":    fetch.Gone,
		"-ERR internal error":         fetch.Refused,
		"-ERR [SYS/TEMP] not now":     fetch.Busy,
		"-ERR [SYS/PERM] not deleted": fetch.Refused,
	} {
		client, listing := play(t, twoListed+`
			C: RETR 1
			C: RETR 2
			S: `+reply+`
			S= "+OK\r\nb\r\n.\r\n"
			hangup`, plaintext())
		octets, failed, err := fetchtest.Collect(t.Context(), client, listing.Refs)
		if err != nil {
			t.Fatalf("%s: %v", reply, err)
		}
		if got := fetch.KindOf(failed[listing.Refs[0]]); got != kind || string(octets[listing.Refs[1]]) != "b\r\n" {
			t.Errorf("%s: got kind %v, want %v; the other message: %q", reply, got, kind, octets[listing.Refs[1]])
		}
		client.Abort()
	}
}

// What is no terminator must not end a message, and what comes after one must be noticed.
func TestRetrieveOutOfStep(t *testing.T) {
	for name, test := range map[string]struct {
		sent string
		kind fetch.Kind
	}{
		"cut before the end":  {`S= "+OK\r\nabc\r\n"`, fetch.Unreachable},
		"LF.LF":               {`S= "+OK\r\nabc\n.\n"`, fetch.Unreachable},
		"LF.CRLF":             {`S= "+OK\r\nabc\n.\r\n"`, fetch.Unreachable},
		"CRLF.LF":             {`S= "+OK\r\nabc\r\n.\n"`, fetch.Unreachable},
		"CRLF.CR":             {`S= "+OK\r\nabc\r\n.\r"`, fetch.Unreachable},
		"CR.CR":               {`S= "+OK\r\nabc\r.\r"`, fetch.Unreachable},
		"no CRLF before dot":  {`S= "+OK\r\nabc.\r\n"`, fetch.Unreachable},
		"CRLF.CRCRLF":         {`S= "+OK\r\nabc\r\n.\r\r\n"`, fetch.Unreachable},
		"CRLF. and no more":   {`S= "+OK\r\nabc\r\n."`, fetch.Unreachable},
		"unstuffed dot":       {`S= "+OK\r\n.\r\nrest of the message\r\n.\r\n"`, fetch.Protocol},
		"octets after it":     {`S= "+OK\r\nabc\r\n.\r\nnoise\r\n"`, fetch.Protocol},
		"empty line after it": {`S= "+OK\r\nabc\r\n.\r\n\r\n"`, fetch.Protocol},
		"refused behind +OK":  {`S= "+OK\r\n-ERR cannot open it\r\n+OK\r\nb\r\n.\r\n"`, fetch.Protocol},
		"no status line":      {`S= "abc\r\n.\r\n"`, fetch.Protocol},
	} {
		t.Run(name, func(t *testing.T) {
			client, listing := play(t, twoListed+"C: RETR 1\nC: RETR 2\n"+test.sent+"\nclose", plaintext())
			var complete []uint32
			err := client.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
				if _, err := io.Copy(io.Discard, m.Body); err == nil {
					complete = append(complete, m.Ref.Seq)
				} else if errors.Is(err, io.EOF) {
					t.Errorf("an incomplete Body ended with an error that is io.EOF: %v", err)
				}
				return nil
			})
			wantKind(t, err, test.kind, "RETR")
			none := test.kind == fetch.Unreachable || slices.Contains([]string{"refused behind +OK", "unstuffed dot", "octets after it"}, name)
			if none && complete != nil {
				t.Errorf("messages %v were taken as complete", complete)
			}
			_, err = client.Open(t.Context(), "")
			wantKind(t, err, fetch.Unreachable, "the session has ended")
		})
	}
}

// With nothing under way, octets that belong to no reply end the session
// before the next command.
func TestExtraOctets(t *testing.T) {
	client, listing := play(t, twoListed+`
		C: RETR 1
		S= "+OK\r\nabc\r\n.\r\n+OK deleted\r\n"
		hangup`, plaintext())
	octets, _, err := fetchtest.Collect(t.Context(), client, listing.Refs[:1])
	if err != nil || string(octets[listing.Refs[0]]) != "abc\r\n" {
		t.Fatalf("got %q, %v", octets[listing.Refs[0]], err)
	}
	wantKind(t, client.Close(t.Context()), fetch.Protocol, "belong to no reply")
}

// TestUnstuffedDotEndsNoMessage: a server that does not stuff dots sends a line with one alone in the middle of a message. What comes before
// it is not the message, though nothing else was asked for; what may be a reply nobody asked for does no harm.
func TestUnstuffedDotEndsNoMessage(t *testing.T) {
	for rest, whole := range map[string]bool{`b\r\n.\r\n`: false, `\r\nb\r\n.\r\n`: false, `+\r\n.\r\n`: false, `-- \r\nb\r\n.\r\n`: false, `-ERR\r\n`: true, `\r\n`: true, ``: true} {
		client, listing := play(t, twoListed+`
			C: RETR 1
			S= "+OK\r\na\r\n.\r\n`+rest+`"
			hangup`, plaintext())
		octets, _, err := fetchtest.Collect(t.Context(), client, listing.Refs[:1])
		if got := err == nil && string(octets[listing.Refs[0]]) == "a\r\n"; got != whole {
			t.Errorf("%q behind the dot: got %q, %v", rest, octets[listing.Refs[0]], err)
		}
		client.Abort()
	}
}

// oneAtATime is the listing of a mailbox whose first message is longer than what comes of it before a line of one dot, without PIPELINING.
const oneAtATime = withoutCAPA + `
	C: UIDL
	S= "+OK\r\n1 a\r\n2 b\r\n.\r\n"
	C: LIST
	S= "+OK\r\n1 9\r\n2 3\r\n.\r\n"
`

// TestUnstuffedDotLineByLine: of a server that does not stuff dots and writes line by line nothing is behind the dot yet. Where another reply is
// under way, or LIST has announced more than came, the client waits for what is behind it, and else asks for nothing.
func TestUnstuffedDotLineByLine(t *testing.T) {
	const first, second = "S= \"+OK\\r\\na\\r\\n.\\r\\n\"\n", "S= \"+OK\\r\\nb\\r\\n.\\r\\n\"\n"
	const together = loggedIn + "C: UIDL\nC: LIST\nS= \"+OK\\r\\n1 a\\r\\n2 b\\r\\n.\\r\\n+OK\\r\\n1 9\\r\\n2 3\\r\\n.\\r\\n\"\nC: RETR 1\nC: RETR 2\n"
	for name, test := range map[string]struct {
		script   string
		messages int
		kind     fetch.Kind
		words    string
	}{
		"half of it":            {oneAtATime + "C: RETR 1\n" + first + "C: NOOP\nS: b\nS: .\nS: +OK\nhangup", 0, fetch.Protocol, "text behind the end of a message"},
		"half, an empty line":   {oneAtATime + "C: RETR 1\n" + first + "C: NOOP\nS:\nS: c\nS: .\nS: +OK\nhangup", 0, fetch.Protocol, "text behind the end of a message"},
		"half, a word":          {oneAtATime + "C: RETR 1\n" + first + "C: NOOP\nS: +OKAY, then\nhangup", 0, fetch.Protocol, "not a reply"},
		"hung up":               {oneAtATime + "C: RETR 1\n" + first + "C: NOOP\nclose", 0, fetch.Unreachable, "NOOP"},
		"sizes of its own":      {oneAtATime + "C: RETR 1\n" + first + "C: NOOP\nS: +OK\nC: RETR 2\n" + second + "hangup", 2, 0, ""},
		"NOOP is refused":       {oneAtATime + "C: RETR 1\n" + first + "C: NOOP\nS: -ERR what?\nC: RETR 2\n" + second + "hangup", 2, 0, ""},
		"reply octet by octet":  {oneAtATime + "C: RETR 1\n" + first + "C: NOOP\nS= \"+\"\nS= \"O\"\nS= \"K\"\nS= \"\\r\\n\"\nC: RETR 2\n" + second + "hangup", 2, 0, ""},
		"together, half of it":  {together + first + "S= \"b\"\nS: \nS: .\n" + second + "hangup", 0, fetch.Protocol, "text behind the end of a message"},
		"together, a signature": {together + first + "S= \"-\"\nS: - joe\nS: .\n" + second + "hangup", 0, fetch.Protocol, "text behind the end of a message"},
		"together, whole":       {together + first + "S= \"+\"\nS: OK\nS: b\nS: .\nhangup", 2, 0, ""},
		"together, no less than listed, and half of it": {strings.Replace(together, "1 9", "1 3", 1) + first + "S= \"b\"\nS: \nS: .\n" + second + "hangup", 0, fetch.Protocol, "text behind the end of a message"},
		"goodbye":           {oneAtATime + "C: RETR 1\nS: -ERR Disconnected for inactivity.\nclose", 0, fetch.Unreachable, "inactivity"},
		"together, goodbye": {together + first + "S: -ERR Autologout; idle too long\nclose", 1, fetch.Unreachable, "Autologout"},
		"together, hung up": {together + first + "close", 1, fetch.Unreachable, "RETR"},
	} {
		t.Run(name, func(t *testing.T) {
			client, listing := play(t, test.script, plaintext())
			whole := 0
			err := client.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
				if m.Err != nil {
					t.Errorf("message %d is blamed: %v", m.Ref.Seq, m.Err)
					return nil
				}
				_, err := io.Copy(io.Discard, m.Body)
				if err == nil {
					whole++
				}
				return err
			})
			if whole != test.messages {
				t.Errorf("%d messages came whole, want %d: %v", whole, test.messages, err)
			}
			if test.kind == 0 && err != nil {
				t.Error(err)
			}
			if test.kind != 0 {
				wantKind(t, err, test.kind, test.words)
			}
		})
	}
}

func TestUnstuffing(t *testing.T) {
	// At most dots come out wrong. Only what starts a line is touched.
	client, listing := play(t, twoListed+`
		C: RETR 1
		S= "+OK\r\n.a\r\n..b\r\n...c\r\nd.\n.e\r.f\r\n.\rg\r\n.\n.\r\n.\r\n"
		hangup`, plaintext())
	octets, _, err := fetchtest.Collect(t.Context(), client, listing.Refs[:1])
	want := "a\r\n.b\r\n..c\r\nd.\n.e\r.f\r\n\rg\r\n\n.\r\n"
	if err != nil || string(octets[listing.Refs[0]]) != want {
		t.Errorf("got  %q, %v\nwant %q", octets[listing.Refs[0]], err, want)
	}
}

func TestOneOctetAtATime(t *testing.T) {
	store := fakeserver.NewStore()
	raw := ".\r\n..\r\na\r\n.\rb\r\n"
	for range 20 {
		store.Add("", []byte(raw))
	}
	one := func(c net.Conn) net.Conn { return fetchtest.Split(c, 1) }
	client := dial(t, &fakeserver.POP3{Store: store, Wrap: one}, plaintext(), one)
	listing, err := client.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	octets, _, err := fetchtest.Collect(t.Context(), client, listing.Refs)
	if err != nil || len(octets) != 20 {
		t.Fatalf("got %d of 20 messages: %v", len(octets), err)
	}
	for ref, got := range octets {
		if string(got) != raw {
			t.Errorf("message %d: got %q, want %q", ref.Seq, got, raw)
		}
	}
	if failures, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs); err != nil || failures != nil {
		t.Fatal(failures, err)
	}
	if err := client.Close(t.Context()); err != nil || len(store.UIDs("")) != 0 {
		t.Errorf("%d messages are left: %v", len(store.UIDs("")), err)
	}
}

func TestUnreadBody(t *testing.T) {
	// What a sink leaves is read and thrown away; the Body is useless afterwards.
	store := fakeserver.NewStore()
	fetchtest.Fill(store, 3)
	client := dial(t, &fakeserver.POP3{Store: store}, plaintext(), nil)
	listing, err := client.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	var kept io.Reader
	err = client.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
		calls++
		kept = m.Body
		_, err := io.ReadFull(m.Body, make([]byte, calls))
		return err
	})
	if err != nil || calls != 3 {
		t.Fatalf("%d calls of 3: %v", calls, err)
	}
	if _, err := kept.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("Body after the sink returned: got %v, want an error", err)
	}
}

func TestLimits(t *testing.T) {
	// The server says that the messages are small.
	store := fakeserver.NewStore()
	for _, size := range []int{998, 1001, 5000, 100_000, 10} {
		store.Add("", []byte(strings.Repeat("x", size-2)+"\r\n"))
	}
	server := &fakeserver.POP3{Store: store, Size: func(fakeserver.Message) int64 { return 1 }}
	opts := plaintext()
	opts.MaxSize = 1000
	client := dial(t, server, opts, nil)
	listing, err := client.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var whole []uint32
	err = client.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
		n, err := io.Copy(io.Discard, m.Body)
		if err == nil {
			whole = append(whole, m.Ref.Seq)
			return nil
		}
		if wantKind(t, err, fetch.TooLarge, "more than 1000"); n > 64<<10 {
			t.Errorf("%d octets came before the cut", n)
		}
		return nil
	})
	if err != nil || len(whole) != 2 || whole[0] != 1 || whole[1] != 5 {
		t.Errorf("got messages %v whole, want 1 and 5: %v", whole, err)
	}
}

// A message without end is not read to see whether it has one.
func TestFarBeyondTheLimit(t *testing.T) {
	store := fakeserver.NewStore()
	const size = 100 << 20
	store.AddMessage("", fakeserver.Message{Size: size, Open: func() io.Reader { return io.LimitReader(&lines{}, size) }})
	opts := plaintext()
	opts.MaxSize = 1000
	client := dial(t, &fakeserver.POP3{Store: store, Size: func(fakeserver.Message) int64 { return 1 }}, opts, nil)
	listing, err := client.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	err = client.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
		_, err := io.Copy(io.Discard, m.Body)
		wantKind(t, err, fetch.TooLarge, "more than 1000")
		return nil
	})
	wantKind(t, err, fetch.TooLarge, "far beyond the limit")
	_, err = client.Open(t.Context(), "")
	wantKind(t, err, fetch.Unreachable, "the session has ended")
}

func TestSinkErrorSendsNoQuit(t *testing.T) {
	// A server may delete at QUIT what was retrieved.
	// The sink's error may be one that a server's reply could be.
	for _, full := range []error{errors.New("spool full"), &fetch.Error{Kind: fetch.TooLarge, Op: "spool"}} {
		client, listing := play(t, twoListed+`
			C: RETR 1
			S= "+OK\r\nabc\r\n.\r\n"
			hangup`, plaintext())
		err := client.Retrieve(t.Context(), listing.Refs[:1], func(m fetch.Message) error {
			if _, err := io.Copy(io.Discard, m.Body); err != nil {
				t.Error(err)
			}
			return full
		})
		if err != full {
			t.Errorf("got %v, want the sink's error", err)
		}
		if err := client.Close(t.Context()); err == nil {
			t.Error("Close gave no error")
		}
	}
}

func TestMismatchedRefs(t *testing.T) {
	// A number whose UID is another names nothing.
	client, listing := play(t, twoListed+"C: DELE 2\nS: +OK\nC: QUIT\nS: +OK\nhangup", plaintext())
	stale := listing.Refs[0]
	stale.UID = "of yesterday"
	failures, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, []fetch.Ref{stale, listing.Refs[1]})
	if err != nil || len(failures) != 1 || failures[0].Ref != stale || fetch.KindOf(failures[0].Err) != fetch.Gone {
		t.Errorf("got %v, %v; want one failure of Kind gone", failures, err)
	}
	// Nor is a message asked for that is marked as deleted.
	octets, failed, err := fetchtest.Collect(t.Context(), client, []fetch.Ref{stale, listing.Refs[1]})
	if err != nil || len(octets) != 0 || fetch.KindOf(failed[stale]) != fetch.Gone || fetch.KindOf(failed[listing.Refs[1]]) != fetch.Gone {
		t.Errorf("got %d messages, %v, %v; want two of Kind gone", len(octets), failed, err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSettleAndClose(t *testing.T) {
	for name, test := range map[string]struct {
		script   string
		failures int
		settle   fetch.Kind
		close    fetch.Kind
	}{
		"plain":          {"S: +OK\nS: +OK\nC: QUIT\nS: +OK bye", 0, 0, 0},
		"DELE refused":   {"S: -ERR locked\nS: +OK\nC: QUIT\nS: +OK", 1, 0, 0},
		"lost at DELE":   {"S: +OK\nclose", 0, fetch.Unreachable, fetch.Unreachable},
		"lost at QUIT":   {"S: +OK\nS: +OK\nC: QUIT\nclose", 0, 0, fetch.Unreachable},
		"QUIT refused":   {"S: +OK\nS: +OK\nC: QUIT\nS: -ERR some not removed", 0, 0, fetch.Refused},
		"QUIT then junk": {"S: +OK\nS: +OK\nC: QUIT\nS: bye", 0, 0, fetch.Protocol},
	} {
		t.Run(name, func(t *testing.T) {
			client, listing := play(t, twoListed+"C: DELE 1\nC: DELE 2\n"+test.script+"\nclose", plaintext())
			failures, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs)
			if fetch.KindOf(err) != test.settle || len(failures) != test.failures {
				t.Errorf("Settle: got %v, %v; want %d failures, kind %v", failures, err, test.failures, test.settle)
			}
			if err := client.Close(t.Context()); fetch.KindOf(err) != test.close || (err == nil) != (test.close == 0) {
				t.Errorf("Close: got %v, want kind %v", err, test.close)
			}
		})
	}
}

func TestSettleTwice(t *testing.T) {
	client, listing := play(t, twoListed+"C: DELE 1\nS: +OK\nC: QUIT\nS: +OK", plaintext())
	for range 2 {
		failures, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs[:1])
		if err != nil || failures != nil {
			t.Errorf("got %v, %v", failures, err)
		}
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// lines is a message of lines without end.
type lines struct{ at int }

const line = "0123456789abcdef0123456789abcdef0123456789abcdef.\r\n"

func (l *lines) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], line[l.at:])
		n, l.at = n+c, (l.at+c)%len(line)
	}
	return n, nil
}

// TestMemory: neither a message of 200 MB nor a mailbox of 50,000 costs memory.
func TestMemory(t *testing.T) {
	store := fakeserver.NewStore()
	const size = len(line) * largeLines
	store.AddMessage("", fakeserver.Message{Size: int64(size), Open: func() io.Reader { return io.LimitReader(&lines{}, int64(size)) }})
	fetchtest.Fill(store, manyListed)
	client := dial(t, &fakeserver.POP3{Store: store}, plaintext(), nil)
	before := heap()
	listing, err := client.Open(t.Context(), "")
	if err != nil || len(listing.Refs) != manyListed+1 {
		t.Fatalf("listed %d messages: %v", len(listing.Refs), err)
	}
	if grown := heap() - before; grown > 12<<20 {
		t.Errorf("a listing of %d holds %d KiB", manyListed, grown>>10)
	}
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	n := int64(0)
	err = client.Retrieve(t.Context(), listing.Refs[:1], func(m fetch.Message) error {
		n, err = io.Copy(io.Discard, m.Body)
		return err
	})
	runtime.ReadMemStats(&end)
	if err != nil || n != int64(size) {
		t.Fatalf("%d octets of %d: %v", n, size, err)
	}
	if allocated := end.TotalAlloc - start.TotalAlloc; allocated > 4<<20 {
		t.Errorf("%d octets passed with %d KiB allocated", size, allocated>>10)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
