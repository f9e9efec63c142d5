package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
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

// command is the client of a command that is no mechanism.
type command string

func (c command) Start() (string, []byte, error) { return "", nil, errUnexpected }

func (c command) Next([]byte) ([]byte, error) { return nil, errUnexpected }

// scramClient is SCRAM (RFC 5802), with channel binding if its name ends in "-PLUS".
type scramClient struct {
	name string
	conv *scram.ClientConversation
	step int
	// failed ends the conversation: the library would go on after an error and
	// take an empty proof for the server's, none having been computed (v1.4.0).
	failed bool
	// unbound says that the server cannot bind to this kind of connection: nothing was said of the password.
	unbound bool
}

func newSCRAM(name string, hash scram.HashGeneratorFcn, c Credentials) (sasl.Client, error) {
	client, err := hash.NewClient(c.User, c.Password, "")
	if err != nil {
		// The library's words may quote the user name; they are not needed.
		return nil, errors.New("SASLprep refuses the user name or password")
	}
	s := &scramClient{name: name}
	if !s.bound() {
		// "n" and not "y" (RFC 5802 section 6): who could strip the mechanisms of this name from the server's list could strip
		// all of SCRAM, and some servers refuse "y".
		s.conv = client.NewConversation()
		return s, nil
	}
	// What names this very connection: tls-exporter with TLS 1.3 (RFC 9266), tls-server-end-point with older ones (RFC 5929
	// section 4).
	var binding scram.ChannelBinding
	switch {
	case c.TLS == nil:
		err = errors.New("there is no TLS to bind to")
	case c.TLS.Version >= tls.VersionTLS13:
		binding, err = scram.NewTLSExporterBinding(c.TLS)
	default:
		binding, err = scram.NewTLSServerEndpointBinding(c.TLS)
	}
	if err != nil {
		return nil, err
	}
	s.conv = client.NewConversationWithChannelBinding(binding)
	return s, nil
}

// bound reports whether the exchange is bound to the connection.
func (s *scramClient) bound() bool { return strings.HasSuffix(s.name, "-PLUS") }

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
	if why, ok := bytes.CutPrefix(challenge, []byte("e=")); ok {
		s.failed = true
		return nil, s.serverError(string(why))
	}
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

// serverError classifies a server-error-value of RFC 5802 section 7.
func (s *scramClient) serverError(value string) error {
	value, _, _ = strings.Cut(value, ",")
	why := errors.New("the server says " + strconv.Quote(fetch.Sanitize(value)))
	switch value {
	case "channel-bindings-dont-match", "server-does-support-channel-binding":
		return &fetch.Error{Kind: fetch.TLS, Op: s.name, Err: why,
			Advice: "the server sees another TLS connection than this one: somebody reads along, or the provider's own proxy ends TLS, in which case set auth: scram-sha-256"}
	case "unsupported-channel-binding-type", "channel-binding-not-supported":
		s.unbound = true
	}
	return why
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
	// dummy answers that challenge, upon which the server ends the exchange with its refusal.
	dummy []byte
	// status is the server's reason, "" as long as it gave none.
	status string
}

// newXOAUTH2 follows https://developers.google.com/gmail/imap/xoauth2-protocol.
func newXOAUTH2(c Credentials, token string) (sasl.Client, error) {
	if !printable(c.User) || !printable(token) {
		return nil, errors.New("control character in the user name or token")
	}
	return &bearerClient{name: XOAUTH2, initial: []byte("user=" + c.User + "\x01auth=Bearer " + token + "\x01\x01"), dummy: []byte{}}, nil
}

func newOAuthBearer(c Credentials, token string) (sasl.Client, error) {
	if !printable(c.User) || !printable(token) {
		return nil, errors.New("control character in the user name or token")
	}
	// RFC 5801 section 4: "=" and "," are escaped in a saslname; go-sasl does not.
	user := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.User)
	_, initial, err := sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: user, Token: token}).Start()
	if err != nil {
		return nil, err
	}
	return &bearerClient{name: OAuthBearer, initial: initial, dummy: []byte{1}}, nil
}

func (b *bearerClient) Start() (string, []byte, error) { return b.name, b.initial, nil }

// Next takes the server's reason, in JSON, and lets it go on to its refusal, which [Explain] adds the reason to (RFC 7628
// section 3.2.3; Google's and Microsoft's servers want an empty line after XOAUTH2).
func (b *bearerClient) Next(challenge []byte) ([]byte, error) {
	if b.status != "" {
		return nil, errUnexpected
	}
	var reason struct {
		Status string `json:"status"`
	}
	err := json.Unmarshal(challenge, &reason)
	// A status is a number, or a word of the OAuth Extensions Error Registry.
	const word = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	odd := reason.Status == "" || len(reason.Status) > 40 || strings.Trim(reason.Status, word) != ""
	if err != nil || odd {
		reason.Status = "unreadable"
	}
	b.status = reason.Status
	return b.dummy, nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
