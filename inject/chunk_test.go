package inject_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// chunkSize is the length of a chunk as documented.
const chunkSize = 128 << 10

// sized makes m's content n octets long, in lines.
func sized(m *inject.Message, n int) string {
	content := strings.Repeat(strings.Repeat("x", 62)+"\r\n", n/64+1)
	content = content[len(content)-n:]
	m.Header, m.Size, m.Body = nil, int64(n), bodyOf(content)
	return content
}

// TestChunks: the commands by which content of each length goes out, and that nothing but line
// endings is changed in it.
func TestChunks(t *testing.T) {
	full := fmt.Sprint("BDAT ", chunkSize)
	for _, c := range []struct {
		name, content, arrives string
		commands               []string
	}{
		{"empty", "", "", []string{"BDAT 0 LAST"}},
		{"small", "a\r\n", "a\r\n", []string{"BDAT 3 LAST"}},
		{"dots", ".\r\n..\r\n.x\r\n", ".\r\n..\r\n.x\r\n", []string{"BDAT 11 LAST"}},
		{"a final dot", "a\r\n.\r\nQUIT\r\n", "a\r\n.\r\nQUIT\r\n", []string{"BDAT 12 LAST"}},
		{"line ends, NUL, SUB, BOM", "a\nb\r\r\nc\rd\x00\x1a\xef\xbb\xbf\xff", "a\r\nb\r\nc d\x00\x1a\xef\xbb\xbf\xff\r\n", []string{"BDAT 17 LAST"}},
		{"one full chunk", strings.Repeat("x", chunkSize-2) + "\r\n", strings.Repeat("x", chunkSize-2) + "\r\n", []string{full + " LAST"}},
		{"one octet more", strings.Repeat("x", chunkSize-2) + "\n\n", strings.Repeat("x", chunkSize-2) + "\r\n\r\n", []string{full, "BDAT 2 LAST"}},
		{"CRLF across the border", strings.Repeat("x", chunkSize-1) + "\r\n", strings.Repeat("x", chunkSize-1) + "\r\n", []string{full, "BDAT 1 LAST"}},
		{"many", strings.Repeat("8 bit \xe4\r\n", 50000), strings.Repeat("8 bit \xe4\r\n", 50000), []string{full, full, full, "BDAT 56784 LAST"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Record: true})
			m := message(1)
			m.Header, m.Size, m.Body = nil, int64(len(c.content)), bodyOf(c.content)
			rs := injectAll(t, s.Dial, inject.Options{Connections: 1, Chunking: true}, m, message(2))
			if rs[0].Outcome != inject.Delivered || rs[0].QueueID == "" || rs[1].Outcome != inject.Delivered {
				t.Fatalf("%+v, err %v; behind it %+v", rs[0], rs[0].Err, rs[1])
			}
			var commands []string
			for _, line := range said(s) {
				if strings.HasPrefix(line, "BDAT") {
					commands = append(commands, line)
				}
			}
			if got, want := strings.Join(commands[:len(commands)-1], ", "), strings.Join(c.commands, ", "); got != want {
				t.Errorf("said %q, want %q", got, want)
			}
			if got := s.Messages()[0]; string(got.Data) != c.arrives || got.Bare {
				t.Errorf("arrived as %.200q (%d octets), want %.200q (%d)", got.Data, len(got.Data), c.arrives, len(c.arrives))
			}
		})
	}
}

// TestChunkDialogue: MAIL and RCPT in one write, the next XCLIENT behind the last chunk, and
// DATA where CHUNKING or PIPELINING is not offered, with LMTP, or for a dry run.
func TestChunkDialogue(t *testing.T) {
	for _, c := range []struct {
		name    string
		server  injecttest.Options
		options inject.Options
		dry     bool
		verbs   string
	}{
		{"chunks", injecttest.Options{}, inject.Options{}, false, "MAIL RCPT BDAT"},
		{"no CHUNKING", injecttest.Options{Without: []string{"CHUNKING"}}, inject.Options{}, false, "MAIL RCPT DATA"},
		{"no PIPELINING", injecttest.Options{Without: []string{"PIPELINING"}}, inject.Options{}, false, "MAIL RCPT DATA"},
		{"LMTP", injecttest.Options{LMTP: true}, inject.Options{Dialect: inject.LMTP}, false, "MAIL RCPT DATA"},
		{"no recipient", injecttest.Options{Recipients: []string{"x@example.org"}}, inject.Options{}, false, "MAIL RCPT QUIT"},
		{"dry run", injecttest.Options{}, inject.Options{}, true, "MAIL RCPT QUIT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.server.Record = true
			s := newServer(t, c.server)
			m := message(1)
			m.DryRun = c.dry
			c.options.Chunking = true
			r := injectAll(t, s.Dial, c.options, m)[0]
			if (r.Outcome == inject.Delivered) != (s.Count() == 1) || r.Err != nil {
				t.Errorf("%+v, err %v; %d arrived", r, r.Err, s.Count())
			}
			if got := verbs(said(s)); !strings.Contains(got, c.verbs) {
				t.Errorf("said %s, want %s in it", got, c.verbs)
			}
		})
	}
}

// TestChunkFaults: a reply to an early chunk is the verdict and no last one follows;
// silence is doubt only behind the last.
func TestChunkFaults(t *testing.T) {
	bdat, dot := injecttest.BDAT, injecttest.DOT
	for _, c := range []struct {
		name    string
		fault   injecttest.Fault
		outcome inject.Outcome
		kind    inject.Kind
		stage   string
		took    time.Duration
	}{
		{"452 to a chunk", injecttest.Fault{Stage: bdat, Reply: "452 4.3.1 full"}, inject.Deferred, 0, "DATA", 0},
		{"552 to a chunk", injecttest.Fault{Stage: bdat, Reply: "552 5.3.4 too big"}, inject.Refused, 0, "DATA", 0},
		{"503 to a chunk", injecttest.Fault{Stage: bdat, Reply: "503 5.5.1 bad sequence"}, inject.Deferred, inject.Protocol, "DATA", 0},
		{"354 to a chunk", injecttest.Fault{Stage: bdat, Reply: "354 go"}, inject.Deferred, inject.Protocol, "DATA", 0},
		{"421 to a chunk", injecttest.Fault{Stage: bdat, Reply: "421 4.3.2 bye", Then: injecttest.CloseConn}, inject.Deferred, 0, "DATA", 0},
		{"EOF at a chunk", injecttest.Fault{Stage: bdat, Then: injecttest.CloseConn}, inject.Deferred, inject.Unreachable, "DATA", 0},
		{"silence at a chunk", injecttest.Fault{Stage: bdat, Then: injecttest.Silence}, inject.Deferred, inject.Unreachable, "DATA", 3 * time.Minute},
		{"garbage at a chunk", injecttest.Fault{Stage: bdat, Reply: "hello"}, inject.Deferred, inject.Protocol, "DATA", 0},
		{"a reply too many", injecttest.Fault{Stage: bdat, Extra: "250 queued as X"}, inject.Deferred, inject.Protocol, "DATA", 0},
		{"a refusal too many", injecttest.Fault{Stage: bdat, Extra: "550 5.7.1 no"}, inject.Deferred, inject.Protocol, "DATA", 0},
		{"451 to the last", injecttest.Fault{Stage: dot, Reply: "451 4.7.1 later"}, inject.Deferred, 0, "dot", 0},
		{"554 to the last", injecttest.Fault{Stage: dot, Reply: "554 5.7.1 no"}, inject.Refused, 0, "dot", 0},
		{"503 to the last", injecttest.Fault{Stage: dot, Reply: "503 5.5.1 bad sequence"}, inject.Deferred, inject.Protocol, "dot", 0},
		{"354 to the last", injecttest.Fault{Stage: dot, Reply: "354 go"}, inject.InDoubt, inject.Protocol, "dot", 0},
		{"EOF at the last", injecttest.Fault{Stage: dot, Then: injecttest.CloseConn}, inject.InDoubt, inject.Unreachable, "dot", 0},
		{"EOF at the last, taken", injecttest.Fault{Stage: dot, Then: injecttest.CloseConn, Accept: true}, inject.InDoubt, inject.Unreachable, "dot", 0},
		{"silence at the last", injecttest.Fault{Stage: dot, Then: injecttest.Silence}, inject.InDoubt, inject.Unreachable, "dot", 10 * time.Minute},
		{"late at the last", injecttest.Fault{Stage: dot, Delay: 599 * time.Second}, inject.Delivered, 0, "dot", 599 * time.Second},
	} {
		bubble(t, c.name, func(t *testing.T) {
			c.fault.Nth = 1
			s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{c.fault}, Record: true})
			m := message(1)
			sized(m, 3*chunkSize)
			start, took := time.Now(), time.Duration(0)
			rs := make([]inject.Receipt, 2)
			p := inject.NewPool(s.Dial, inject.Options{Connections: 1, Chunking: true})
			for i, m := range []*inject.Message{m, message(2)} {
				if err := p.Submit(t.Context(), m, func(r inject.Receipt) {
					if rs[i] = r; i == 0 {
						took = time.Since(start).Round(time.Second)
					}
				}); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := rs[0]
			if r.Outcome != c.outcome || kindOf(r) != c.kind || r.Stage != c.stage || took != c.took {
				t.Errorf("%v at %q after %v, kind %v; want %v at %q after %v, kind %v: %v", r.Outcome, r.Stage, took, kindOf(r), c.outcome, c.stage, c.took, c.kind, r.Err)
			}
			if rs[1].Outcome != inject.Delivered {
				t.Errorf("the message behind it: %+v, err %v", rs[1], rs[1].Err)
			}
			lasts := strings.Count(strings.Join(said(s), "\n"), " LAST")
			if want := map[string]int{"DATA": 1, "dot": 2}[c.stage]; lasts != want {
				t.Errorf("%d last chunks, want %d\n%s", lasts, want, strings.Join(s.Transcript(), "\n"))
			}
			want := 0
			if c.outcome == inject.Delivered || c.fault.Accept {
				want = 1
			}
			if n := arrived(s, m); n != want {
				t.Errorf("it arrived %d times, want %d", n, want)
			}
		})
	}
}

// TestChunkAbort: content that fails is given up with RSET, and the session goes on.
func TestChunkAbort(t *testing.T) {
	for name, edit := range map[string]func(*inject.Message){
		"no body":             func(m *inject.Message) { m.Body = nil },
		"source error early":  func(m *inject.Message) { m.Body = failingBody(10, errSource) },
		"source error later":  func(m *inject.Message) { m.Body = failingBody(3*chunkSize+7, errSource) },
		"at a border":         func(m *inject.Message) { m.Body = failingBody(2*chunkSize, errSource) },
		"unexpected EOF":      func(m *inject.Message) { m.Body = failingBody(100, io.ErrUnexpectedEOF) },
		"shorter than stated": func(m *inject.Message) { m.Size++ },
		"longer than stated":  func(m *inject.Message) { m.Size-- },
		"BeforeDot says no":   func(m *inject.Message) { m.BeforeDot = func(context.Context) error { return errSource } },
	} {
		for _, mode := range []inject.Mode{inject.Required, inject.Off} {
			t.Run(fmt.Sprint(name, "/", mode), func(t *testing.T) {
				s := newServer(t, injecttest.Options{Record: true})
				m := message(1)
				sized(m, 2*chunkSize+100)
				edit(m)
				rs := injectAll(t, s.Dial, inject.Options{Connections: 1, Chunking: true, XCLIENT: mode}, m, message(2), message(3))
				if rs[0].Outcome != inject.Deferred || kindOf(rs[0]) != inject.Local || rs[0].Stage != "DATA" {
					t.Errorf("%+v, err %v", rs[0], rs[0].Err)
				}
				for _, r := range rs[1:] {
					if r.Outcome != inject.Delivered {
						t.Errorf("behind it %+v, err %v", r, r.Err)
					}
				}
				if s.Count() != 2 || s.Sessions() != 1 || !strings.Contains(verbs(said(s)), "RSET") {
					t.Errorf("%d arrived in %d sessions\n%s", s.Count(), s.Sessions(), strings.Join(said(s), "\n"))
				}
			})
		}
	}
}

// TestRefusedLastChunk: RSET is said after a last chunk that was refused, for RFC 3030 does not say that
// the mail transaction has ended, and not after one that was taken.
func TestRefusedLastChunk(t *testing.T) {
	for _, reply := range []string{"250 2.0.0 Ok", "451 4.7.1 later", "554 5.7.1 no"} {
		s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{{Stage: injecttest.DOT, Nth: 1, Reply: reply}}})
		session, err := inject.Open(t.Context(), s.Dial, inject.Options{Chunking: true})
		if err != nil {
			t.Fatal(err)
		}
		session.Deliver(t.Context(), message(1), nil)
		if r := session.Deliver(t.Context(), message(2), nil); r.Outcome != inject.Delivered {
			t.Errorf("%s: behind it %+v, err %v", reply, r, r.Err)
		}
		session.Close()
		if got := verbs(said(s)); strings.Contains(got, "RSET XCLIENT") == strings.HasPrefix(reply, "250") {
			t.Errorf("%s: said %s", reply, got)
		}
	}
}

// TestChunkCancelled: the end of the context between chunks closes the connection.
func TestChunkCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, injecttest.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		m := message(1)
		m.Size = -1
		m.Body = func() (io.ReadCloser, error) {
			end := readFunc(func() { cancel(); synctest.Wait() })
			return io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 2*chunkSize)), end, strings.NewReader("more\r\n"))), nil
		}
		p := inject.NewPool(s.Dial, inject.Options{Connections: 1, Chunking: true})
		var r inject.Receipt
		if err := p.Submit(ctx, m, func(got inject.Receipt) { r = got }); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.Outcome != inject.Deferred || kindOf(r) != inject.Aborted || s.Count() != 0 {
			t.Errorf("%+v, err %v, %d arrived", r, r.Err, s.Count())
		}
	})
}

// readFunc is an empty reader that does something.
type readFunc func()

func (f readFunc) Read([]byte) (int, error) { f(); return 0, io.EOF }

// TestChunkTLS: chunks within TLS, where the system knows nothing of the replies.
func TestChunkTLS(t *testing.T) {
	id := newIdentity(t, "mx.example.org", time.Now().Add(time.Hour))
	s := newServer(t, injecttest.Options{TLS: id.server()})
	if _, err := s.Start(); err != nil {
		t.Fatal(err)
	}
	m := message(1)
	content := sized(m, 3<<20)
	o := inject.Options{StartTLS: inject.StartTLS, TLSConfig: id.client("mx.example.org"), Connections: 1, Chunking: true}
	for _, r := range injectAll(t, s.Dial, o, m, message(2)) {
		if r.Outcome != inject.Delivered {
			t.Fatalf("%+v, err %v", r, r.Err)
		}
	}
	if got := s.Messages()[0]; string(got.Data) != content || got.Chunks != 3<<20/chunkSize || !got.TLS {
		t.Errorf("%d octets in %d chunks", len(got.Data), got.Chunks)
	}
}
