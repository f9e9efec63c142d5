package inject

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// outSize is how much output is gathered into one write.
	outSize = 32 << 10
	// lineSize is enough for the commands of one write as they usually are. Sessions may
	// serve one message each, and the buffer be most of what that costs in memory.
	lineSize = 1 << 10
	// armSlack is how early a deadline may be. A deadline that is so near to the one wanted is
	// not set again: for the replies to one write that would cost more than reading them.
	armSlack = 50 * time.Millisecond
	// maxWindow is how many commands go out in one write where PIPELINING is offered: few
	// enough that neither side's replies can fill a buffer while we still write (RFC 2920
	// section 3.1).
	maxWindow = 64
)

var (
	// errUnsolicited ends a session: the next command would take the reply for its own.
	errUnsolicited = fmt.Errorf("%w: a reply that no command asked for", errMalformed)
	errNotOneLine  = errors.New("a command would not fit in one line")
)

// wire is the connection below a session: commands out, replies in, deadlines, trace. It does not
// know what the commands mean.
type wire struct {
	id   uint64 // for the trace
	o    *Options
	conn net.Conn
	in   *replyReader
	out  []byte
	// wrote says that we have written since we read, which acknowledged what we had read.
	wrote bool
	// hidden is the command under way if it holds a secret, else "".
	hidden string
	// negative counts the replies of 4xx and 5xx.
	negative int
	// err is the first failure. Nothing is written after it.
	err error

	cancelled atomic.Bool // the context has ended

	mu      sync.Mutex
	armed   time.Time // the deadline set, zero if not known
	dotSent bool      // the end of the context leaves time for the verdict
}

// watch closes the connection when ctx ends. Once the dot is sent it only shortens the wait for the
// verdict, because closing would put the message in doubt.
func (w *wire) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cancelled.Store(true)
		if w.dotSent {
			w.armed = time.Now().Add(w.o.Timeouts.Grace)
			_ = w.conn.SetDeadline(w.armed)
			return
		}
		_ = hardClose(w.conn)
	})
}

// setDotSent says whether the verdict is due: the dot may have been sent, and has no reply yet.
func (w *wire) setDotSent(on bool) {
	w.mu.Lock()
	w.dotSent = on
	w.mu.Unlock()
}

// arm sets the deadline of the next write or reply. Besides this, only watch and peek set one.
func (w *wire) arm(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancelled.Load() {
		d = min(d, w.o.Timeouts.Grace)
	}
	until := time.Now().Add(d)
	if early := until.Sub(w.armed); early >= 0 && early < min(armSlack, d/10) {
		return
	}
	w.armed = until
	_ = w.conn.SetDeadline(until)
}

// put adds one command line to the next write.
func (w *wire) put(line string) { w.putSecret(line, line) }

// putSecret is put for a line of which the trace shows only shown.
func (w *wire) putSecret(shown, line string) {
	// The last line of defence: all arguments have been checked before.
	if strings.ContainsAny(line, "\r\n\x00") {
		w.fail(fmt.Errorf("%w: %.8q", errNotOneLine, line))
		return
	}
	w.trace("C: ", shown)
	w.out = append(append(w.out, line...), '\r', '\n')
}

// putContent adds content to the output, and writes the output whenever it is full.
func (w *wire) putContent(p []byte) error {
	for len(p) > 0 {
		n := copy(w.out[len(w.out):cap(w.out)], p)
		w.out = w.out[:len(w.out)+n]
		p = p[n:]
		if len(w.out) < cap(w.out) {
			continue
		}
		if _, err := w.flush(w.o.Timeouts.Block); err != nil {
			return err
		}
	}
	return nil
}

// putRaw adds octets to the next write. The trace shows them as shown.
func (w *wire) putRaw(shown string, p []byte) {
	w.trace("C: ", shown)
	w.out = append(w.out, p...)
}

// flush writes the output within d, and returns how much of it was written.
func (w *wire) flush(d time.Duration) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.arm(d)
	n, err := w.conn.Write(w.out)
	w.out = w.out[:0]
	w.wrote = true
	w.fail(err)
	return n, err
}

// read reads one reply within d.
func (w *wire) read(d time.Duration) (Reply, []string, error) {
	if !w.wrote && w.in.r.Buffered() == 0 {
		quickAck(w.conn)
	}
	w.wrote = false
	w.arm(d)
	reply, lines, err := w.in.read()
	broken := w.in.err // of a refusal: nothing can be said behind it
	if w.hidden != "" {
		for _, e := range []*error{&err, &broken} {
			if *e != nil && repeats((*e).Error(), w.hidden) {
				*e = fmt.Errorf("%w: %s", errMalformed, withheldText)
			}
		}
		if reply.class() >= 4 && repeats(strings.Join(lines, "\n"), w.hidden) {
			reply.Text, lines = withheldText, []string{withheldText}
		}
	}
	w.fail(err)
	w.fail(broken)
	if reply.class() >= 4 {
		w.negative++
	}
	if err == nil && w.o.Trace != nil {
		for i, l := range lines {
			sep := "-"
			if i == len(lines)-1 {
				sep = " "
			}
			w.trace("S: ", strconv.Itoa(reply.Code)+sep+l)
		}
	}
	return reply, lines, err
}

// fail notes the first failure.
func (w *wire) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// command sends one line and reads its reply, each within d.
func (w *wire) command(d time.Duration, line string) (Reply, []string, error) {
	return w.secret(d, line, line)
}

// secret is command for a line of which the trace shows only shown.
func (w *wire) secret(d time.Duration, shown, line string) (Reply, []string, error) {
	if err := w.inStep(); err != nil {
		return Reply{}, nil, err
	}
	if shown != line {
		w.hidden = line
		defer func() { w.hidden = "" }()
	}
	w.putSecret(shown, line)
	if _, err := w.flush(d); err != nil {
		reply, err := w.lastReply(err)
		return reply, nil, err
	}
	return w.read(d)
}

// withheldText stands for what an MTA says that repeats a secret.
const withheldText = "(withheld: it repeats the credentials)"

// repeats reports whether an MTA's words hold the last argument of a command, or what that is in base64: a server may quote what it
// does not understand, in part perhaps. Behind the last NUL of PLAIN is the password (RFC 4616).
func repeats(words, command string) bool {
	const enough = 12 // octets of base64 that nothing else begins with
	argument := command[strings.LastIndexByte(command, ' ')+1:]
	octets, _ := base64.StdEncoding.DecodeString(argument)
	secret := string(octets[bytes.LastIndexByte(octets, 0)+1:])
	for _, part := range []string{argument[:min(len(argument), enough)], secret} {
		if len(part) > 1 && strings.Contains(words, part) {
			return true
		}
	}
	return false
}

// lastReply reads the refusal that the server may have sent, such as 421 or 552, before err kept
// us from writing. Without a refusal it returns err.
func (w *wire) lastReply(err error) (Reply, error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, errNotOneLine) {
		return Reply{}, err
	}
	reply, _, rerr := w.read(time.Second)
	switch {
	case rerr != nil:
		return Reply{}, err
	case reply.class() < 4:
		return Reply{}, &Error{Kind: Protocol, Reply: reply, Text: "unexpected reply"}
	}
	return reply, nil
}

// command is one line to send, and how long to wait for its reply.
type command struct {
	line string
	wait time.Duration
}

// pipeline is a sequence of commands whose replies are taken one by one.
type pipeline struct {
	w        *wire
	commands []command // those without a reply yet
	window   int       // how many go out in one write
	due      int       // replies to what has been sent
	taken    int       // replies read
}

// next returns the reply to the next command. If no reply is due it sends the next window first.
func (p *pipeline) next() (Reply, error) {
	if p.due == 0 {
		if err := p.w.inStep(); err != nil {
			return Reply{}, err
		}
		n := min(len(p.commands), p.window)
		for _, c := range p.commands[:n] {
			p.w.put(c.line)
		}
		if _, err := p.w.flush(p.commands[0].wait); err != nil {
			return p.w.lastReply(err)
		}
		p.due = n
	}
	reply, _, err := p.w.read(p.commands[0].wait)
	p.commands = p.commands[1:]
	p.due--
	if err == nil {
		p.taken++
	}
	return reply, err
}

// inStep returns an error if a reply has been read that no command asked for.
func (w *wire) inStep() error {
	if w.in.r.Buffered() > 0 {
		w.fail(errUnsolicited)
		return errUnsolicited
	}
	return nil
}

// unsolicited is like inStep, and also looks for replies that have arrived and were not read. It
// costs system calls, and is for places where a wrong reply would otherwise be believed.
func (w *wire) unsolicited() error {
	if err := w.inStep(); err != nil {
		return err
	}
	w.mu.Lock()
	w.armed = time.Time{} // peek sets a deadline of its own
	w.mu.Unlock()
	waiting, err := w.peek()
	if err == nil && waiting {
		err = errUnsolicited
	}
	w.fail(err)
	return err
}

// peekReader is peek for connections that have no socket of their own, TLS and pipes. It waits a
// moment for something to read.
func (w *wire) peekReader() (bool, error) {
	_ = w.conn.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
	_, err := w.in.r.Peek(1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// trace hands a line to Options.Trace, with its direction in front.
func (w *wire) trace(who, line string) {
	if w.o.Trace != nil {
		w.o.Trace(w.id, sanitize(who+line))
	}
}

// close closes the connection at once.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = hardClose(w.conn)
}

// hardClose closes a connection without TLS's close_notify, for which a peer that does not
// read could keep us waiting.
func hardClose(conn net.Conn) error {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	return conn.Close()
}
