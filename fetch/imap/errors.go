package imap

import (
	"bytes"
	"errors"
	"net"
	"os"
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
		return statusError(op, string(reply.Type), []byte(text))
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
func (c *Client) byeError(op string) error {
	bye := []byte(c.g.noted().bye)
	e := &fetch.Error{Kind: fetch.Unreachable, Op: op, Text: fetch.Sanitize(string(bye)), Ends: true}
	if kind := kindOf(bye); kind != fetch.Unclassified {
		e.Kind = kind
	}
	return e
}

// statusError classifies a NO or BAD. What its code leaves open depends on the command.
func statusError(op, name string, text []byte) *fetch.Error {
	e := &fetch.Error{Kind: kindOf(text), Op: op, Text: fetch.Sanitize(string(text))}
	if e.Text == "" {
		e.Text = fetch.Sanitize(name)
	}
	switch code, _ := responseCode(text); code {
	case "TRYCREATE":
		e.Advice = "create the folder at the server"
	case "PRIVACYREQUIRED":
		e.Advice = "use TLS"
	case "CONTACTADMIN":
		e.Advice = "the provider wants to be asked"
	}
	if e.Kind != fetch.Unclassified {
		return e
	}
	code, _ := responseCode(text)
	unsaid := code == "" || code == "ALERT" // what it is, except in words
	busy := unsaid && fetch.SoundsBusy(string(text))
	verb, _, _ := strings.Cut(op, " ")
	switch verb {
	case "LOGIN", "AUTHENTICATE":
		e.Kind = fetch.Auth
	case "SELECT":
		e.Kind = fetch.NoFolder
	default:
		e.Kind, busy = fetch.Refused, false
	}
	if busy {
		e.Kind = fetch.Busy
	}
	return e
}

// kindOf reads the response code: those of RFC 9051 section 7.1, RFC 9208, Yahoo and Google. Where
// there is none it looks at the words, as some servers use no codes.
func kindOf(text []byte) fetch.Kind {
	code, _ := responseCode(text)
	switch code {
	case "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED":
		return fetch.Auth
	case "UNAVAILABLE", "INUSE", "LIMIT", "OVERQUOTA", "THROTTLED", "SERVERBUG":
		return fetch.Busy
	case "NONEXISTENT", "TRYCREATE":
		return fetch.NoFolder
	case "NOPERM", "CANNOT", "CLIENTBUG":
		return fetch.Refused
	case "", "ALERT":
	default:
		return fetch.Unclassified
	}
	words := bytes.ToLower(text)
	if bytes.Contains(words, []byte("password")) {
		return fetch.Unclassified // "wrong password, try again" is no promise
	}
	for _, busy := range []string{
		"too many", "try again", "temporar", "throttled",
		"authenticated but not connected", // Exchange Online, when it throttles
	} {
		if bytes.Contains(words, []byte(busy)) {
			return fetch.Busy
		}
	}
	return fetch.Unclassified
}
