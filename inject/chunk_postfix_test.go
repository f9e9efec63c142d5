//go:build unix

package inject_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// dialogues keeps what Options.Trace tells, by session.
type dialogues struct {
	mu    sync.Mutex
	lines map[uint64][]string
}

func (d *dialogues) add(session uint64, line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines == nil {
		d.lines = map[uint64][]string{}
	}
	d.lines[session] = append(d.lines[session], line)
}

func (d *dialogues) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, lines := range d.lines {
		b.WriteString(strings.Join(lines, "\n") + "\n")
	}
	return b.String()
}

// TestPostfixChunks: real Postfix takes chunks of all content as one message each, under each
// of its settings against pipelining and bare line endings, with the next XCLIENT behind the last.
func TestPostfixChunks(t *testing.T) {
	listeners := []injecttest.Listener{
		{Name: "default", Options: []string{"smtpd_authorized_xclient_hosts=static:all"}},
		{Name: "forbid", Options: []string{"smtpd_authorized_xclient_hosts=static:all", "smtpd_forbid_unauth_pipelining=yes",
			"smtpd_forbid_bare_newline=reject", "smtpd_forbid_bare_newline_exclusions="}},
		{Name: "reject", Options: []string{"smtpd_authorized_xclient_hosts=static:all", "smtpd_data_restrictions=reject_unauth_pipelining"}},
		{Name: "once", Options: []string{"smtpd_authorized_xclient_hosts=127.0.0.0/8", "smtpd_forbid_unauth_pipelining=yes"}},
	}
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: listeners, Main: []string{"line_length_limit = 20000000"}})
	const smuggled = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
	var ms []*inject.Message
	want := map[string]string{}
	for i, text := range []string{
		"", ".\r\n", "a\r\n.\r\n" + smuggled, "a\n.\n" + smuggled, "a\r.\r" + smuggled, "a\r\n.\r\r\n" + smuggled, "a\r\n.\x00\r\n" + smuggled,
		"..\r\n.x\r\n", "8 bit \xe4\xff\x80\r\n", "From x\r\n", "no end", strings.Repeat("0123456789012345678901234567890123456789\r\n", 100000),
	} {
		m := message(i)
		body := fmt.Sprintf("Subject: %d\r\n\r\n%s", i, text)
		m.Size, m.Body, m.EightBit = int64(len(body)), bodyOf(body), true
		ms = append(ms, m)
		_, text, _ = strings.Cut(strings.ReplaceAll(regexp.MustCompile("\r*\n").ReplaceAllString(body, "\n"), "\r", " "), "\n\n")
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		want[m.From] = text
	}
	for i, l := range listeners {
		var trace dialogues
		o := inject.Options{Connections: 1, Chunking: true, Trace: trace.add}
		for n, r := range injectAll(t, p.Dialer(l.Name), o, ms...) {
			if r.Outcome != inject.Delivered || r.QueueID == "" || r.Err != nil || r.Note != "" {
				t.Errorf("%s, message %d: %+v, err %v", l.Name, n, r, r.Err)
			}
		}
		if behind := regexp.MustCompile(`C: BDAT \d+ LAST\nC: (XCLIENT|QUIT)`).FindAllString(trace.text(), -1); len(behind) < len(ms)-2 || strings.Contains(trace.text(), "C: DATA") {
			t.Errorf("%s: %d of %d last chunks with a command behind\n%.3000s", l.Name, len(behind), len(ms), trace.text())
		}
		mail := p.Mail()
		if len(mail) != (i+1)*len(ms) {
			t.Errorf("%s: %d messages, want %d", l.Name, len(mail), (i+1)*len(ms))
		}
		for _, text := range mail {
			_, from, _ := strings.Cut(text, "Return-Path: <")
			from, _, _ = strings.Cut(from, ">")
			body, ok := want[from]
			if _, got, _ := strings.Cut(text, "\n\n"); !ok || got != body {
				t.Errorf("%s: %s has body %.200q (%d octets), want %.200q (%d)", l.Name, from, got, len(got), body, len(body))
			}
		}
	}
	if log := p.Log(); strings.Contains(log, "improper command pipelining") {
		t.Errorf("Postfix complains of pipelining:\n%s", log)
	}
}

// TestPostfixChunkAbort: what was given up between chunks is gone, and the session goes on.
func TestPostfixChunkAbort(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: []injecttest.Listener{
		{Name: "small", Options: []string{"smtpd_authorized_xclient_hosts=static:all", "message_size_limit=200000"}}}})
	half, no, big := message(1), message(2), message(3)
	half.Size, half.Body = -1, failingBody(3*chunkSize, errSource)
	no.BeforeDot = func(context.Context) error { return errSource }
	sized(big, 3*chunkSize)
	big.Size = -1
	var trace dialogues
	o := inject.Options{Connections: 1, Chunking: true, Trace: trace.add}
	rs := injectAll(t, p.Dialer(injecttest.ListenAll), o, half, message(4), no, message(5))
	for i, want := range []inject.Outcome{inject.Deferred, inject.Delivered, inject.Deferred, inject.Delivered} {
		if rs[i].Outcome != want {
			t.Errorf("message %d: %+v, err %v", i, rs[i], rs[i].Err)
		}
	}
	if len(trace.lines) != 1 {
		t.Errorf("%d sessions, want 1", len(trace.lines))
	}
	// The last chunk of the second one is refused, with the next XCLIENT behind it.
	last := message(7)
	sized(last, 2*chunkSize)
	last.Size = -1
	rs = injectAll(t, p.Dialer("small"), o, big, last, message(6))
	for i, stage := range []string{"DATA", "dot"} {
		if r := rs[i]; r.Outcome != inject.Refused || r.Reply.Code != 552 || r.Stage != stage {
			t.Errorf("too big: %+v, err %v", r, r.Err)
		}
	}
	if rs[2].Outcome != inject.Delivered {
		t.Errorf("behind those too big: %+v, err %v", rs[2], rs[2].Err)
	}
	if mail := p.Mail(); len(mail) != 3 {
		t.Errorf("%d messages, want 3:\n%.2000s", len(mail), strings.Join(mail, "\n"))
	}
}

// BenchmarkPostfixChunks is BenchmarkPostfix with BDAT.
func BenchmarkPostfixChunks(b *testing.B) {
	p := injecttest.StartPostfix(b, injecttest.PostfixOptions{Main: []string{"virtual_transport = discard:"}})
	for _, chunking := range []bool{false, true} {
		b.Run(fmt.Sprintf("chunking=%v", chunking), func(b *testing.B) {
			p.Mail() // waits until the queue is empty
			benchmark(b, p.Dialer(injecttest.ListenUnix), inject.Options{Connections: 2, Chunking: chunking})
		})
	}
}
