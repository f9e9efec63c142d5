package pop3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/truehop/truehop/fetch"
)

// Bounds of what is read and sent, in octets.
const (
	bufferSize = 64 << 10
	// maxLine bounds a status line and a line of a listing. RFC 2449 section 4
	// has 512; unique-ids longer than they may be have been seen.
	maxLine = 8 << 10
	// maxUID is what fetch.Ref allows.
	maxUID = 1 << 10
	// window bounds the commands that are under way. It is below any TCP buffer
	// (RFC 2449 section 6.6), so that a write never waits for a server that
	// waits for us to read.
	window = 16 << 10
)

// hangUpPatience is how long a server may take to notice that the client has hung up.
const hangUpPatience = 5 * time.Second

// farewellPatience is how long a server may take to say goodbye where it has nothing to delete before.
const farewellPatience = 30 * time.Second

// wire is the connection: lines in, commands out, deadlines, trace.
type wire struct {
	raw   net.Conn // what New got
	close sync.Once
	clock *clock
	conn  net.Conn // clock, or TLS over it
	br    *bufio.Reader
	ctx   context.Context // of the exchange under way
	log   *slog.Logger
	// During the authentication.
	hidden bool   // what the server says is not traced: it may echo what it was sent
	said   string // its last line, as it came
}

func newWire(conn net.Conn, t Timeouts, log *slog.Logger) *wire {
	k := &clock{Conn: conn, t: t}
	return &wire{raw: conn, clock: k, conn: k, br: bufio.NewReaderSize(k, bufferSize), ctx: context.Background(), log: log}
}

// clock is the one place where deadlines are set. It counts the time spent in
// reads only, so that a sink may take its time.
type clock struct {
	net.Conn
	t      Timeouts
	spent  time.Duration
	octets int64
}

var errSlow = fmt.Errorf("the server is too slow: %w", os.ErrDeadlineExceeded)

// restart begins the time of a new reply.
func (k *clock) restart() { k.spent, k.octets = 0, 0 }

func (k *clock) Read(p []byte) (int, error) {
	left := k.t.Command + time.Duration(k.octets/k.t.MinRate)*time.Second - k.spent
	if left <= 0 {
		return 0, errSlow
	}
	begin := time.Now()
	if err := k.Conn.SetReadDeadline(begin.Add(min(k.t.Idle, left))); err != nil {
		return 0, err
	}
	n, err := k.Conn.Read(p)
	k.spent += time.Since(begin)
	k.octets += int64(n)
	return n, err
}

func (k *clock) Write(p []byte) (int, error) {
	if err := k.Conn.SetWriteDeadline(time.Now().Add(k.t.Idle)); err != nil {
		return 0, err
	}
	return k.Conn.Write(p)
}

// hangUp closes this side's half of the connection and waits until the server has closed its own, which
// it does once the session is over. One that does not is waited for no longer than hangUpPatience.
func (w *wire) hangUp() {
	layers := []net.Conn{w.conn, w.raw}
	if t, ok := w.raw.(*tls.Conn); ok {
		layers = append(layers, t.NetConn())
	}
	half := false
	for _, layer := range layers { // TLS says that it ends before TCP does
		if c, ok := layer.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite() // the next read shows what is wrong
			half = true
		}
	}
	if !half {
		return
	}
	w.hurry(hangUpPatience)
	_, _ = io.Copy(io.Discard, io.LimitReader(w.conn, bufferSize))
}

// hurry bounds the rest of the session, all in all.
func (w *wire) hurry(limit time.Duration) {
	w.clock.t = Timeouts{Idle: min(limit, w.clock.t.Idle), Command: min(limit, w.clock.t.Command), MinRate: math.MaxInt64}
	w.clock.restart()
}

// lost classifies an error of the connection. Cancellation wins, for it
// closes the connection and what is seen then is its consequence.
func (w *wire) lost(op string, err error) error {
	if e := w.ctx.Err(); e != nil {
		return e
	}
	e := &fetch.Error{Kind: fetch.Unreachable, Op: op, Err: err}
	var (
		record      tls.RecordHeaderError
		alert       *net.OpError // package tls has no type for an alert
		certificate *tls.CertificateVerificationError
		unknown     x509.UnknownAuthorityError
	)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
		// io.EOF means a complete message to whoever reads a Body; net.Pipe says it otherwise
		// where the peer has closed before a deadline is set.
		e.Err = io.ErrUnexpectedEOF
	case errors.As(err, &record):
		e.Kind, e.Advice = fetch.TLS, "this port does not speak TLS; is it one for STLS?"
	case errors.As(err, &unknown):
		e.Kind, e.Advice = fetch.TLS, "the certificate's authority is not trusted here"
	case errors.As(err, &certificate), errors.As(err, &alert) && alert.Op == "remote error":
		e.Kind = fetch.TLS
	}
	return e
}

// command sends one command and reads the first line of its reply.
func (w *wire) command(text string) (reply, error) {
	if err := w.send(text, text); err != nil {
		return reply{}, err
	}
	return w.reply(text)
}

// send writes one command; shown is what the trace may know of it. Octets that
// have arrived before the server was asked anything mean that it lost step.
func (w *wire) send(text, shown string) error {
	if n := w.br.Buffered(); n > 0 {
		extra, _ := w.br.Peek(n)
		return protocolError(shown, "octets that belong to no reply", extra)
	}
	w.trace("C", shown)
	return w.write(shown, append([]byte(text), "\r\n"...))
}

func (w *wire) write(op string, commands []byte) error {
	if _, err := w.conn.Write(commands); err != nil {
		return w.lost(op, err)
	}
	return nil
}

// line reads one line without its end, which should be CRLF and is LF with a few servers. It is valid until the next read.
// The reply to RETR must end in CRLF: of a server that ends a message by a dot between two LF, no message can be told from half of one.
func (w *wire) line(op string) ([]byte, error) {
	line, err := w.anyLine(op)
	if err != nil {
		return nil, err
	}
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	switch {
	case ok:
		return text, nil
	case line[0] == 0x15, line[0] == 0x16: // a TLS alert or handshake; the commonest alert ends in LF
		e := protocolError(op, "not a reply", line)
		e.Advice = "this port seems to speak TLS from the start"
		return nil, e
	case op == "RETR":
		return nil, protocolError(op, "line ends in a bare LF", line)
	}
	return line[:len(line)-1], nil
}

// anyLine reads one line with its end, whichever that is.
func (w *wire) anyLine(op string) ([]byte, error) {
	line, err := w.br.ReadSlice('\n')
	if w.hidden {
		w.said = string(line)
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(line) > maxLine:
		return nil, protocolError(op, "line without end", line[:100])
	case err != nil:
		return nil, w.lost(op, err)
	}
	return line, nil
}

// listLine reads one line of a multi-line reply that is not a message. A few servers end those in LF, or in CR CR LF.
func (w *wire) listLine(op string) (line []byte, end bool, err error) {
	if line, err = w.anyLine(op); err != nil {
		return nil, false, err
	}
	line = bytes.TrimRight(line[:len(line)-1], "\r")
	if len(line) > 0 && line[0] == '.' {
		return line[1:], len(line) == 1, nil
	}
	return line, false, nil
}

// trace logs one line of the dialogue.
func (w *wire) trace(who, text string) {
	if !w.log.Enabled(w.ctx, slog.LevelDebug) {
		return
	}
	if w.hidden && who == "S" {
		switch status, _, _ := strings.Cut(text, " "); status {
		case "+", "+OK", "-ERR":
			text = status + " ***"
		default:
			text = "***"
		}
	}
	w.log.LogAttrs(w.ctx, slog.LevelDebug, "pop3", slog.String(who, fetch.Sanitize(text)))
}
