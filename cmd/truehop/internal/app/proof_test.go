package app

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/sasl"
)

// series is a source of tokens that gives one after the other, and the last for ever.
type series struct {
	left []string
	asks int
	err  error
}

func (s *series) Token(context.Context) (string, error) {
	s.asks++
	token := s.left[0]
	if len(s.left) > 1 {
		s.left = s.left[1:]
	}
	return token, s.err
}

func (s *series) Renew(ctx context.Context, _ string) (string, error) { return s.Token(ctx) }

// TestRefusedTokenIsRenewedOnce: a token that the upstream refuses is renewed, and the login repeated, once; and not at all
// where something else went wrong.
func TestRefusedTokenIsRenewedOnce(t *testing.T) {
	const refused = fetch.Auth
	for name, test := range map[string]struct {
		tokens         []string
		err            error
		without        bool // the server takes no tokens
		busy           bool
		kind           fetch.Kind
		asks, sessions int
	}{
		"good":                {tokens: []string{"good"}, asks: 1, sessions: 1},
		"old, then good":      {tokens: []string{"old", "good"}, asks: 2, sessions: 2},
		"old for ever":        {tokens: []string{"old"}, kind: refused, asks: 2, sessions: 1},
		"always another":      {tokens: []string{"old", "older", "oldest"}, kind: refused, asks: 2, sessions: 2},
		"no tokens taken":     {tokens: []string{"good"}, without: true, kind: refused, asks: 1, sessions: 1},
		"the server is busy":  {tokens: []string{"old", "good"}, busy: true, kind: fetch.Busy, asks: 1, sessions: 1},
		"there is none":       {tokens: []string{""}, err: &fetch.Error{Kind: refused, Op: "access token"}, kind: refused, asks: 1, sessions: 0},
		"nobody can be asked": {tokens: []string{""}, err: errors.New("no network"), kind: fetch.Unclassified, asks: 1, sessions: 0},
	} {
		for _, protocol := range []config.Protocol{config.IMAP, config.POP3} {
			t.Run(name+" "+protocol.String(), func(t *testing.T) {
				var sessions atomic.Int64
				valid := func(token string) bool { return token == "good" }
				if test.without {
					valid = nil
				}
				reply := func(verb, _ string) (string, bool) {
					if !test.busy {
						return "", false
					}
					switch verb {
					case "AUTHENTICATE":
						return "%T NO [UNAVAILABLE] later\r\n", true
					case "AUTH":
						return "-ERR [SYS/TEMP] later\r\n", true
					}
					return "", false
				}
				serve := (&fakeserver.IMAP{Store: fakeserver.NewStore(), User: "joe", Password: "x", ValidToken: valid, Reply: reply}).Serve
				if protocol == config.POP3 {
					serve = (&fakeserver.POP3{Store: fakeserver.NewStore(), User: "joe", Password: "x", ValidToken: valid, Reply: reply}).Serve
				}
				addr := fetchtest.Listen(t, func(conn net.Conn) { sessions.Add(1); serve(conn) }).Addr()
				host, port, err := net.SplitHostPort(addr)
				if err != nil {
					t.Fatal(err)
				}
				a := &config.Account{Name: "work", Host: host, Protocol: protocol, TLS: config.NoTLS, AllowPlaintext: true, TokenCommand: []string{"/bin/false"}}
				a.User = "joe"
				if a.Port, err = strconv.Atoi(port); err != nil {
					t.Fatal(err)
				}
				source := &series{left: test.tokens, err: test.err}
				proof, err := Prove(t.Context(), a)
				if err != nil {
					t.Fatal(err)
				}
				proof.source = source
				mailbox, err := logInBy(t.Context(), a, proof, nil, nil, nil)
				if mailbox != nil {
					mailbox.Abort()
				}
				if fetch.KindOf(err) != test.kind || (err == nil) != (mailbox != nil) {
					t.Errorf("got %v, want kind %v", err, test.kind)
				}
				if source.asks != test.asks || int(sessions.Load()) != test.sessions {
					t.Errorf("%d tokens were asked for in %d sessions, want %d in %d", source.asks, sessions.Load(), test.asks, test.sessions)
				}
			})
		}
	}
}

// TestLoginHint says what to do, by what the account shows.
func TestLoginHint(t *testing.T) {
	account := func(text string) *config.Account {
		c, err := config.Parse("t.yaml", []byte("state_dir: /s\naccounts: {work: {host: h.example.net, user: joe, recipients: [joe@example.org], "+text+"}}"), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Accounts["work"]
	}
	for text, want := range map[string]string{
		"password_file: /p":                       "correct accounts.work.user or the password",
		"token_command: [/bin/false]":             "accounts.work.token_command prints a good token",
		"oauth: {provider: google, client_id: x}": "run truehop login work",
		"oauth: {provider: microsoft, client_id: x, flow: app-only, tenant: c.example, client_secret_file: /s/s}": "the application may read the mailbox",
	} {
		if got := loginHint(account(text)); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestProofOfPassword fetches the password and renews nothing.
func TestProofOfPassword(t *testing.T) {
	a := &config.Account{Name: "work"}
	a.User, a.PasswordFile = "joe", filepath.Join(t.TempDir(), "none")
	var wrong *config.SecretError
	if _, err := Prove(t.Context(), a); !errors.As(err, &wrong) {
		t.Errorf("got %v", err)
	}
	p := &Proof{Credentials: sasl.Credentials{User: "joe", Password: "x"}}
	if err := p.fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if again, err := p.renewed(t.Context()); again || err != nil {
		t.Errorf("renewed: %v, %v", again, err)
	}
}
