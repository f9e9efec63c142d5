package injecttest

import (
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// Stage is a point of the dialogue.
type Stage string

// The stages at which faults can be set. EHLO2 is the EHLO behind XCLIENT, DOT the reply
// to the final dot or last chunk. STARTTLS is its reply, BDAT that to a chunk
// before the last.
const (
	Greeting Stage = "greeting"
	EHLO     Stage = "EHLO"
	HELO     Stage = "HELO"
	STARTTLS Stage = "STARTTLS"
	AUTH     Stage = "AUTH"
	XCLIENT  Stage = "XCLIENT"
	XFORWARD Stage = "XFORWARD"
	EHLO2    Stage = "EHLO2"
	RSET     Stage = "RSET"
	MAIL     Stage = "MAIL"
	RCPT     Stage = "RCPT"
	DATA     Stage = "DATA"
	BDAT     Stage = "BDAT"
	DOT      Stage = "dot"
)

// Stages returns the stages of an ordinary dialogue in their order.
func Stages() []Stage {
	return []Stage{Greeting, EHLO, XCLIENT, EHLO2, MAIL, RCPT, DATA, DOT}
}

// Fault is something that goes wrong at a stage, in place of the server's own reply.
type Fault struct {
	Stage Stage
	// Nth says at which arrival at the stage, counted from 1 over all connections; 0 means all.
	Nth int
	// Reply is what to say instead, whole lines joined by CRLF; "" means the reply of its own.
	Reply string
	// Extra is said behind the reply.
	Extra string
	// Delay passes before the reply.
	Delay time.Duration
	// Drip sends the reply one octet at a time, with this pause before each.
	Drip time.Duration
	// Early, with stage DOT and DATA, replies as soon as the content has begun, and then calls
	// Said if that is not nil.
	Early bool
	Said  func()
	// Then is what happens after the reply, or without one for Then other than Go on.
	Then Then
	// Accept, with stage DOT, takes the message all the same before the fault happens.
	Accept bool
}

// Then is how a fault ends.
type Then uint8

const (
	// GoOn goes on with the dialogue.
	GoOn Then = iota
	// CloseConn closes the connection. Without Reply nothing is said before.
	CloseConn
	// ResetConn closes it with RST where the transport has that. Without Reply nothing is said.
	ResetConn
	// Silence says and does nothing more until the client closes.
	Silence
	// Endless sends lines of a reply without end.
	Endless
	// EndlessLine sends one line without end.
	EndlessLine
	// Dead answers "503 5.7.0 Error: access denied" to everything but QUIT from then on,
	// as Postfix does behind a refused XCLIENT.
	Dead
	// Mute goes on with the dialogue without a reply.
	Mute
)

// fault returns the fault set for this arrival at a stage, nil if there is none.
func (s *Server) fault(stage Stage) *Fault {
	if len(s.o.Faults) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[stage]++
	i := slices.IndexFunc(s.o.Faults, func(f Fault) bool {
		if f.Nth != 0 && f.Nth != s.seen[stage] {
			return false
		}
		return f.Stage == stage
	})
	if i < 0 {
		return nil
	}
	return &s.o.Faults[i]
}

// reply says text at a stage, or does what a fault wants instead. It returns false
// if the stage's command did not succeed or the dialogue is over.
func (c *conn) reply(stage Stage, text string) bool {
	f := c.s.fault(stage)
	if f == nil {
		return c.say(text)
	}
	return c.misbehave(f, text)
}

func (c *conn) misbehave(f *Fault, text string) bool {
	if f.Delay > 0 {
		c.flush()
		time.Sleep(f.Delay)
	}
	if f.Reply != "" {
		text = f.Reply
	} else if f.Then != GoOn && f.Then != Dead {
		text = ""
	}
	switch {
	case text == "":
	case f.Drip == 0:
		c.say(text)
	default:
		for _, b := range []byte(text + "\r\n") {
			time.Sleep(f.Drip)
			if !c.write(string([]byte{b})) {
				break
			}
			c.flush()
		}
	}
	if f.Extra != "" {
		c.say(f.Extra)
	}
	switch f.Then {
	case Dead:
		c.dead = true
		return false
	case Mute:
		return false
	case GoOn:
		return positive(text)
	}
	c.flush()
	switch f.Then {
	case ResetConn:
		if tcp, ok := c.raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	case Silence:
		_, _ = io.Copy(io.Discard, c.r)
	case Endless, EndlessLine:
		piece := "250-" + strings.Repeat("x", 60) + "\r\n"
		if f.Then == EndlessLine {
			piece = strings.Repeat("2", 64)
		}
		for c.write(piece) {
			c.flush()
		}
	}
	c.over = true
	return false
}
