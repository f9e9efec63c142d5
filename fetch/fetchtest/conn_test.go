package fetchtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, near := net.Pipe()
		line := Delay(near, time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(far, far) }) // echoes
		begin := time.Now()
		sent := bytes.Repeat([]byte("0123456789"), 10_000)
		wg.Go(func() {
			for part := range bytes.SplitAfterSeq(sent, []byte("9")) {
				if _, err := line.Write(part); err != nil {
					t.Error(err)
					return
				}
			}
		})
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(line, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("got %d octets, %v", len(got), err)
		}
		// Whatever the amount, a round trip costs its time once.
		if took := time.Since(begin); took < time.Second || took > 15*time.Second {
			t.Errorf("an echo of 100 KB took %v, want little more than 1s", took)
		}
		if err := line.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		begin = time.Now()
		if _, err := line.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("a read in silence: got %v after %v", err, time.Since(begin))
		}
		_ = line.Close()
		if _, err := line.Read(got); err == nil {
			t.Error("a read after Close gave no error")
		}
		if _, err := line.Write(got); err == nil {
			t.Error("a write after Close gave no error")
		}
		_ = far.Close()
		wg.Wait()
	})
}

func TestDelayFlushesOnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, near := net.Pipe()
		line := Delay(near, time.Second)
		var got []byte
		var wg sync.WaitGroup
		wg.Go(func() { got, _ = io.ReadAll(far) })
		if _, err := io.WriteString(line, "the last words"); err != nil {
			t.Error(err)
		}
		_ = line.Close()
		wg.Wait()
		if string(got) != "the last words" {
			t.Errorf("got %q", got)
		}
	})
}

func TestSplit(t *testing.T) {
	far, near := net.Pipe()
	defer near.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		if n, err := Split(near, 3).Write([]byte("abcdefgh")); n != 8 || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
	})
	for _, want := range []string{"abc", "d", "ef", "gh"} {
		p := make([]byte, 10)
		r := far
		if want == "d" {
			r = Split(far, 1)
		}
		n, err := r.Read(p)
		if string(p[:n]) != want || err != nil {
			t.Errorf("got %q, %v; want %q", p[:n], err, want)
		}
	}
	wg.Wait()
}

func TestCut(t *testing.T) {
	far, near := net.Pipe()
	line := Cut(near)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = far.Write([]byte("0123456789")) })
	p := make([]byte, 2)
	if _, err := io.ReadFull(line, p); err != nil {
		t.Fatal(err)
	}
	line.Reads(3)
	rest, err := io.ReadAll(line)
	if string(rest) != "234" || err != nil {
		t.Errorf("got %q, %v; want 3 octets and the end", rest, err)
	}
	wg.Wait()

	far, near = net.Pipe()
	line = Cut(near)
	line.Writes(4)
	wg.Go(func() {
		got, _ := io.ReadAll(far)
		if string(got) != "0123" {
			t.Errorf("got %q, want 4 octets", got)
		}
	})
	if n, err := line.Write([]byte("0123456789")); n != 4 || !errors.Is(err, ErrCut) {
		t.Errorf("Write: %d, %v", n, err)
	}
	wg.Wait()
}

// recorder is a testing.TB that keeps what would fail.
type recorder struct {
	testing.TB
	failed   string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.failed += format
	for _, a := range args {
		if s, ok := a.(string); ok {
			r.failed += s
		} else if err, ok := a.(error); ok {
			r.failed += err.Error()
		}
	}
}

func TestPlay(t *testing.T) {
	for name, test := range map[string]struct {
		script, client string
		want           string // what the failure says; "" for none
	}{
		"kept to":           {"S: hello\nC: hi\nC~ by.*\nclose", "hi\r\nbye\r\n", ""},
		"wrong line":        {"S: hello\nC: hi\nclose", "ho\r\n", `expected "hi", got "ho\r\n"`},
		"bare LF":           {"C: hi\nclose", "hi\n", `got "hi\n"`},
		"no match":          {"C~ b.\nclose", "bad\r\n", `expected "b."`},
		"hung up early":     {"C: hi\nC: more", "hi\r\n", "the client hung up"},
		"hangup, kept to":   {"C: hi\nhangup", "hi\r\n", ""},
		"hangup, spoken to": {"C: hi\nhangup", "hi\r\nmore\r\n", "should have hung up"},
		"silence":           {"C: hi\nsilence", "hi\r\nmore\r\n", ""},
		"hung up before S":  {"S: a\nS: b\nS= \"c\\x00\"", "", ""},
	} {
		r := &recorder{TB: t}
		client := Play(r, test.script)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(io.Discard, client) })
		_, _ = io.WriteString(client, test.client)
		_ = client.Close()
		wg.Wait()
		for _, f := range r.cleanups {
			f()
		}
		if (test.want == "") != (r.failed == "") || !strings.Contains(r.failed, test.want) {
			t.Errorf("%s: the test fails with %q, want %q", name, r.failed, test.want)
		}
	}
	for _, script := range []string{"X: a", "S= unquoted", "C~ ("} {
		if _, err := parseScript(script); err == nil {
			t.Errorf("script %q gave no error", script)
		}
	}
}
