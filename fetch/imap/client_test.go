package imap

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/sasl"
)

const (
	user     = "alice@example.org"
	password = "correct horse"
)

// plaintext are options for servers without TLS.
func plaintext() Options {
	return Options{Credentials: sasl.Credentials{User: user, Password: password, AllowPlaintext: true}}
}

// server is an embedded server over store.
func server(store *fakeserver.Store) *fakeserver.IMAP {
	return &fakeserver.IMAP{Store: store, User: user, Password: password}
}

// dial logs in to an embedded server.
func dial(t testing.TB, s *fakeserver.IMAP, o Options) *Client {
	t.Helper()
	c, err := New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(c.Abort)
	return c
}

// open logs in and opens the inbox.
func open(t testing.TB, s *fakeserver.IMAP, o Options) (*Client, []fetch.Ref) {
	t.Helper()
	c := dial(t, s, o)
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return c, listing.Refs
}

// TestConformance runs the suite that both protocols pass.
func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*fakeserver.IMAP){
		"all extensions":   func(*fakeserver.IMAP) {},
		"no MOVE":          func(s *fakeserver.IMAP) { s.Without = []string{"MOVE"} },
		"no ESEARCH":       func(s *fakeserver.IMAP) { s.Without = []string{"ESEARCH", "SASL-IR", "LITERAL+"} },
		"expunges at once": func(s *fakeserver.IMAP) { s.AutoExpunge = true },
		"tells late":       func(s *fakeserver.IMAP) { s.LateExpunge = true },
		"tells by UID":     func(s *fakeserver.IMAP) { s.Vanished = true },
	} {
		t.Run(name, func(t *testing.T) {
			fetchtest.Run(t, fetchtest.Upstream{
				Folders: true,
				Dial: func(t testing.TB, store *fakeserver.Store, o fetchtest.DialOptions) fetch.Mailbox {
					s := server(store)
					change(s)
					conn := fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr())
					if o.Wrap != nil {
						// A few octets at a time: the library is always reading, and
						// what it asked for before a cut is not cut.
						conn = o.Wrap(fetchtest.Split(conn, 8))
					}
					opts := plaintext()
					opts.MaxSize, opts.Marks = o.MaxSize, o.Marks
					c, err := New(t.Context(), conn, opts)
					if err != nil {
						t.Fatalf("New: %v", err)
					}
					return c
				},
			})
		})
	}
}

// The LOGIN command, with a password that needs a literal, where no mechanism is offered.
func TestLoginCommand(t *testing.T) {
	for capabilities, secret := range map[string]string{
		"IMAP4rev1": `pä"ss\wörd`, "IMAP4rev1 LITERAL+": `pä"ss\wörd`,
		"IMAP4rev1 X": "pä close", "IMAP4rev1 LITERAL+ X": "ö expunge", // a literal is no command
	} {
		s := server(fakeserver.NewStore())
		s.Password = secret
		s.Reply = func(verb, _ string) (string, bool) {
			return "* OK [CAPABILITY " + capabilities + "] x\r\n", verb == "greeting"
		}
		o := plaintext()
		o.Credentials.Password = s.Password
		c := dial(t, s, o)
		if !c.Has("UIDPLUS") {
			t.Error("the capabilities after login are not known")
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// What another client has read is fetched all the same.
func TestSeenIsListed(t *testing.T) {
	store := fakeserver.NewStore()
	fetchtest.Fill(store, 2)
	store.Update("", 1, func(m *fakeserver.Message) { m.Flags = []string{`\Seen`} })
	if _, refs := open(t, server(store), plaintext()); len(refs) != 2 {
		t.Errorf("listed %d messages of 2", len(refs))
	}
}

// An alert is logged, but not as it is.
func TestAlert(t *testing.T) {
	var said strings.Builder
	s := server(fakeserver.NewStore())
	s.Before = func(verb, _ string) string {
		if verb == "SELECT" {
			return "* OK [ALERT] \x1b[31mPay now\x1b[0m\u202e" + strings.Repeat("!", 500) + "\r\n"
		}
		return ""
	}
	o := plaintext()
	o.Logger = slog.New(slog.NewTextHandler(&said, nil))
	open(t, s, o)
	if got := said.String(); !strings.Contains(got, "Pay now") || strings.ContainsAny(got, "\x1b\u202e") || len(got) > 400 {
		t.Errorf("logged %q", got)
	}
}

// An access token goes by both mechanisms, with an initial response and without one. A refusal is an error of
// the credentials, with the status of the server's challenge.
func TestToken(t *testing.T) {
	for _, mechanism := range []sasl.Mechanism{sasl.XOAUTH2, sasl.OAuthBearer} {
		for _, without := range [][]string{nil, {"SASL-IR"}} {
			s := server(fakeserver.NewStore())
			s.Token, s.Without = "good", without
			srv := fetchtest.Listen(t, s.Serve)
			for _, token := range []string{"good", "bad"} {
				o := plaintext()
				o.Credentials.Mechanism = mechanism
				o.Credentials.Token = func(context.Context) (string, error) { return token, nil }
				c, err := New(t.Context(), fetchtest.Dial(t, srv.Addr()), o)
				as := err == nil
				if token == "bad" {
					as = fetch.KindOf(err) == fetch.Auth && strings.Contains(err.Error(), "status 401")
				}
				if !as {
					t.Errorf("%s without %v: a %s token: %v", mechanism, without, token, err)
				}
				if c != nil {
					c.Abort()
				}
			}
		}
	}
}

// The log has the dialogue at Debug, without passwords, tokens and messages.
func TestTraceHoldsNoSecret(t *testing.T) {
	const canary = `can"ary 4711`
	quoted := `can\"ary 4711`
	for name, test := range map[string]struct {
		without                 []string
		greeting, server, token string
	}{
		"PLAIN": {server: canary}, "PLAIN, no SASL-IR": {server: canary, without: []string{"SASL-IR"}}, "wrong PLAIN": {server: "x"},
		"LOGIN": {server: canary, greeting: "IMAP4rev1"}, "wrong LOGIN": {server: "x", greeting: "IMAP4rev1"},
		"XOAUTH2": {token: canary}, "wrong XOAUTH2": {token: "x"}, "OAUTHBEARER": {token: canary}, "wrong OAUTHBEARER": {token: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			s := server(fakeserver.NewStore())
			s.Store.Add("", []byte("Subject: "+canary+"\r\n"))
			s.Password, s.Token, s.Without = test.server, test.token, test.without
			s.Reply = func(verb, _ string) (string, bool) {
				return "* OK [CAPABILITY " + test.greeting + "] x\r\n", verb == "greeting" && test.greeting != ""
			}
			o := plaintext()
			o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			if o.Credentials.Password = canary; test.token != "" {
				o.Credentials.Token = func(context.Context) (string, error) { return canary, nil }
			}
			if strings.HasSuffix(name, "OAUTHBEARER") {
				o.Credentials.Mechanism = sasl.OAuthBearer
			}
			c, err := New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), o)
			if (err != nil) != strings.HasPrefix(name, "wrong") {
				t.Fatal(err)
			}
			if err == nil {
				listing, _ := c.Open(t.Context(), "")
				if _, _, err = fetchtest.Collect(t.Context(), c, listing.Refs); err != nil {
					t.Fatal(err)
				}
				_ = c.Close(t.Context())
			}
			shown := fmt.Sprintf("%s %v %+v", log.String(), err, o.Credentials)
			encode := base64.StdEncoding.EncodeToString
			for _, secret := range []string{canary, quoted, strconv.Quote(quoted), "4711", encode([]byte("\x00" + user + "\x00" + canary)),
				encode([]byte("user=" + user + "\x01auth=Bearer " + canary + "\x01\x01")), encode([]byte("n,a=" + user + ",\x01auth=Bearer " + canary + "\x01\x01"))} {
				if strings.Contains(shown, secret) {
					t.Errorf("%q is shown in:\n%s", secret, shown)
				}
			}
			if err == nil && !strings.Contains(shown, "UID FETCH 1") {
				t.Errorf("the trace lacks the dialogue: %s", shown)
			}
		})
	}
}

// dovecotOptions are options for a session with a real server.
func dovecotOptions(d *fetchtest.Dovecot) Options {
	return Options{
		Credentials: sasl.Credentials{User: d.User, Password: d.Password},
		TLS:         &tls.Config{RootCAs: d.CA, ServerName: "localhost"},
	}
}

// dialDovecot logs in by STARTTLS, or by TLS from the start.
func dialDovecot(ctx context.Context, t testing.TB, d *fetchtest.Dovecot, implicit bool, o Options) (*Client, error) {
	t.Helper()
	var conn net.Conn
	if implicit {
		conn = tls.Client(fetchtest.Dial(t, d.IMAPSAddr), o.TLS)
	} else {
		conn = fetchtest.Dial(t, d.IMAPAddr)
		o.StartTLS = true
	}
	c, err := New(ctx, conn, o)
	if err == nil {
		t.Cleanup(c.Abort)
	}
	return c, err
}
