package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/truehop/truehop/fetch"
)

var errUnexpected = errors.New("unexpected challenge")

// loginClient answers the first challenge with the user and the second with the
// password, whatever they say: go-sasl's wants "Password:" to the letter, while
// servers write "Password" or "Password\x00" as well.
type loginClient struct {
	answers []string
}

// Start sends no initial response: LOGIN has none.
func (l *loginClient) Start() (string, []byte, error) { return Login, nil, nil }

func (l *loginClient) Next([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, errUnexpected
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(answer), nil
}

// cramClient is CRAM-MD5, RFC 2195 section 2.
type cramClient struct {
	user, password string
	done           bool
}

func (m *cramClient) Start() (string, []byte, error) { return CRAMMD5, nil, nil }

func (m *cramClient) Next(challenge []byte) ([]byte, error) {
	if m.done || len(challenge) == 0 {
		return nil, errUnexpected
	}
	m.done = true
	h := hmac.New(md5.New, []byte(m.password))
	h.Write(challenge)
	return []byte(m.user + " " + hex.EncodeToString(h.Sum(nil))), nil
}

// scramClient is SCRAM without channel binding.
type scramClient struct {
	name string
	conv *scram.ClientConversation
	step int
	// failed ends the conversation: the library would go on after an error and
	// take an empty proof for the server's, none having been computed (v1.4.0).
	failed bool
}

func (s *scramClient) Start() (string, []byte, error) {
	first, err := s.conv.Step("")
	return s.name, []byte(first), err
}

// Next answers the server's first message with the proof and its final one,
// when that comes as a challenge, with nothing.
func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	if s.failed {
		return nil, errUnexpected
	}
	s.step++
	if s.step == 1 {
		if err := boundIterations(challenge); err != nil {
			s.failed = true
			return nil, err
		}
	}
	response, err := s.conv.Step(string(challenge))
	if err != nil {
		s.failed = true
		// Its words quote the server's, which may be anything.
		return nil, errors.New(fetch.Sanitize(err.Error()))
	}
	return []byte(response), nil
}

// maxIterations bounds the work that a server can ask for: about a second.
// RFC 7677 section 4 asks servers for at least 4096; some use 600,000.
const maxIterations = 2_000_000

func boundIterations(serverFirst []byte) error {
	for field := range bytes.SplitSeq(serverFirst, []byte{','}) {
		count, ok := bytes.CutPrefix(field, []byte("i="))
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(string(count), 10, 32); err != nil || n > maxIterations {
			return errors.New("the server asks for too many iterations")
		}
	}
	return nil
}

// bearerClient is XOAUTH2 or OAUTHBEARER: one response, and a challenge only to
// say why the token was refused.
type bearerClient struct {
	name    string
	initial []byte
}

func (b *bearerClient) Start() (string, []byte, error) { return b.name, b.initial, nil }

// Next returns the server's reason as the error (RFC 7628 section 3.2.2). The
// caller then cancels the exchange or drops the connection.
func (b *bearerClient) Next(challenge []byte) ([]byte, error) {
	var reason struct {
		Status string `json:"status"`
		Scope  string `json:"scope"`
	}
	e := &fetch.Error{Kind: fetch.Auth, Op: b.name, Advice: "the access token was refused; log in again"}
	if json.Unmarshal(challenge, &reason) == nil && reason.Status != "" {
		e.Text = fetch.Sanitize("status " + reason.Status)
	} else {
		e.Err = errUnexpected
	}
	return nil, e
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
