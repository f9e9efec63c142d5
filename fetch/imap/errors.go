package imap

import (
	"bytes"
	"cmp"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"

	imapwire "github.com/emersion/go-imap/v2"

	"github.com/truehop/truehop/fetch"
)

func protocolError(op, why string, said []byte) *fetch.Error {
	return &fetch.Error{Kind: fetch.Protocol, Op: op, Err: errors.New(why), Text: fetch.Sanitize(string(said))}
}

// failed classifies what the library returned for a command, nil for success.
func (c *Client) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	var (
		reply *imapwire.Error
		typed *fetch.Error
	)
	cause := c.g.why()
	switch {
	case errors.As(err, &typed):
		return typed
	case errors.As(err, &reply): // whatever became of the connection since
		text := reply.Text
		if reply.Code != "" {
			text = "[" + string(reply.Code) + "] " + text
		}
		e := statusError(op, string(reply.Type), []byte(text))
		if e.Kind == fetch.Auth && c.g.noted().bye != "" { // "LOGIN failed", of a server that has hung up over too many connections
			if bye := c.byeError(op); bye.Kind == fetch.Busy {
				return bye
			}
		}
		return e
	case cause != nil && !errors.Is(cause, errLibrary):
		return c.lost(op, cause)
	}
	return protocolError(op, fetch.Sanitize(err.Error()), nil)
}

// lost classifies the end of the connection. The reason is that of BYE if the server sent one.
func (c *Client) lost(op string, err error) error {
	if cause := c.g.why(); cause != nil && !errors.Is(err, cause) {
		err = cause
	}
	var broken *brokenError
	if errors.As(err, &broken) {
		return &fetch.Error{Kind: fetch.Protocol, Op: op, Err: err}
	}
	if c.g.noted().bye != "" {
		return c.byeError(op)
	}
	e := &fetch.Error{Kind: fetch.Unreachable, Op: op, Err: err}
	if last := []byte(c.g.noted().prose); len(last) > 0 { // "421 too busy", for one
		e.Text = fetch.Sanitize(string(last))
		if kind, _ := judge(fetch.Entry, code{}, last); kind == fetch.Busy {
			e.Kind = kind
		}
	}
	var alert *net.OpError // package tls has no type for an alert
	switch {
	case op == "greeting" && errors.Is(err, os.ErrDeadlineExceeded):
		e.Advice = "the port may want TLS from the start"
	case errors.As(err, &alert) && alert.Op == "remote error":
		e.Kind = fetch.TLS // with TLS 1.3 a server's word about our certificate comes after the handshake
	}
	return e
}

// byeError classifies a BYE.
func (c *Client) byeError(op string) *fetch.Error {
	bye := []byte(c.g.noted().bye)
	e := &fetch.Error{Op: op, Text: fetch.Sanitize(string(bye)), Ends: true}
	if e.Kind, e.Advice = judge(fetch.Entry, readCode(bye), bye); e.Kind == fetch.Unclassified {
		e.Kind = fetch.Unreachable
	}
	return e
}

// statusError classifies a NO or BAD. What its code and words leave open depends on the command.
func statusError(op, name string, text []byte) *fetch.Error {
	verb, object, _ := strings.Cut(op, " ")
	occasion, left := fetch.Entry, fetch.Refused
	switch verb {
	case "LOGIN", "AUTHENTICATE":
		left = fetch.Auth
	case "SELECT":
		left = fetch.NoFolder
	case "greeting":
	default:
		occasion = fetch.Command
	}
	c := readCode(text)
	e := &fetch.Error{Op: op, Text: cmp.Or(fetch.Sanitize(string(text)), fetch.Sanitize(name))}
	// Exchange says the folder's name, and that may be Maintenance, or Suspicious mail.
	if folder, err := strconv.Unquote(object); err == nil && folder != "" {
		text = bytes.ReplaceAll(text, []byte(folder), nil)
	}
	e.Kind, e.Advice = judge(occasion, c, text)
	switch {
	case e.Kind == fetch.Unclassified:
		e.Kind = left
	case verb == "SELECT" && e.Kind == fetch.Refused: // NOPERM: this will not pass
		e.Kind = fetch.NoFolder
	}
	return e
}

// judge reads a response code and the words with it. ALERT says but that a person should read them.
func judge(at fetch.Occasion, c code, text []byte) (fetch.Kind, string) {
	if c.name == "ALERT" {
		c.name = ""
	}
	return fetch.Judge(at, c.name, string(text))
}
