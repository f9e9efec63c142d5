package imap

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/sasl"
)

// starttls are options that want STARTTLS.
func starttls(client *tls.Config) Options {
	return Options{StartTLS: true, TLS: client, Credentials: sasl.Credentials{User: user, Password: password}}
}

func TestStartTLSRefused(t *testing.T) {
	_, client := fakeserver.TLS()
	for name, test := range map[string]struct {
		script string
		kind   fetch.Kind
	}{
		"STARTTLS not announced":              {"S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] x\nhangup", fetch.TLS},
		"STARTTLS answered NO":                {"S: * OK x\nC: H1 STARTTLS\nS: H1 NO not now\nhangup", fetch.TLS},
		"STARTTLS answered BAD":               {"S: * OK x\nC: H1 STARTTLS\nS: H1 BAD what\nhangup", fetch.TLS},
		"STARTTLS answered by a continuation": {"S: * OK x\nC: H1 STARTTLS\nS: + go\nhangup", fetch.Protocol},
		"STARTTLS answered under another tag": {"S: * OK x\nC: H1 STARTTLS\nS: T1 OK go\nhangup", fetch.Protocol},
		"STARTTLS unavailable":                {"S: * OK x\nC: H1 STARTTLS\nS: H1 NO [UNAVAILABLE] x\nhangup", fetch.Busy},
		"plaintext behind the reply":          {"S: * OK x\nC: H1 STARTTLS\nS= \"H1 OK go\\r\\n* PREAUTH x\\r\\n\"\nhangup", fetch.TLS},
		"no TLS behind the reply":             {"S: * OK x\nC: H1 STARTTLS\nS: H1 OK go\nclose", fetch.Unreachable},
		"PREAUTH before TLS":                  {"S: * PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] x\nhangup", fetch.TLS},
		"BYE":                                 {"S: * OK x\nC: H1 STARTTLS\nS: * BYE x\nclose", fetch.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			o := starttls(client)
			o.Credentials.AllowPlaintext = true // STARTTLS is required all the same
			_, err := New(t.Context(), fetchtest.Play(t, test.script), o)
			if fetch.KindOf(err) != test.kind {
				t.Errorf("got %v of Kind %v, want Kind %v", err, fetch.KindOf(err), test.kind)
			}
		})
	}
}

// The same by the embedded server, which sends both in one write.
func TestStartTLSInjection(t *testing.T) {
	serverTLS, client := fakeserver.TLS()
	s := server(fakeserver.NewStore())
	s.TLS, s.AfterSTARTTLS = serverTLS, "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
	_, err := New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), starttls(client))
	if fetch.KindOf(err) != fetch.TLS {
		t.Errorf("got %v, want Kind tls", err)
	}
}

// What was said before TLS is forgotten, capabilities above all.
func TestStartTLSForgets(t *testing.T) {
	serverTLS, client := fakeserver.TLS()
	var asked []string
	s := server(fakeserver.NewStore())
	s.TLS = serverTLS
	s.Reply = func(verb, _ string) (string, bool) {
		asked = append(asked, verb)
		if verb == "greeting" {
			return "* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=X-EVIL LOGINDISABLED] x\r\n" +
				"* LIST () \"/\" evil\r\n* 5 EXISTS\r\n* SEARCH 1 2 3\r\n* BYE evil\r\n* OK [ALERT] evil\r\n", true
		}
		return "", false
	}
	var log strings.Builder
	o := starttls(client)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c, err := New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	if log.Len() > 0 {
		t.Errorf("the log tells what came before TLS: %s", log.String())
	}
	if listing, err := c.Open(t.Context(), ""); err != nil || len(listing.Refs) != 0 {
		t.Errorf("Open: %v, %v", listing, err)
	}
	if got := strings.Join(asked, ", "); !strings.HasPrefix(got, "greeting, STARTTLS, CAPABILITY, AUTHENTICATE, SELECT") {
		t.Errorf("the client sent %s", got)
	}
	if n := c.g.noted(); n.bye != "" || n.caps["AUTH=X-EVIL"] {
		t.Errorf("of what came before TLS is left: %+v", n)
	}
}

// A response that names no search belongs to the one under way, under STARTTLS as well as elsewhere.
func TestSearchWithoutATagUnderSTARTTLS(t *testing.T) {
	serverTLS, client := fakeserver.TLS()
	s := server(fakeserver.NewStore())
	fetchtest.Fill(s.Store, 2)
	s.TLS = serverTLS
	s.Reply = func(verb, _ string) (string, bool) {
		return "* ESEARCH UID ALL 1:2\r\n%T OK x\r\n", verb == "UID SEARCH"
	}
	c, err := New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), starttls(client))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	if _, err := c.Open(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	found, err := c.Search(t.Context(), nil)
	if err != nil || len(found) != 2 {
		t.Errorf("found %v, %v; want 1 and 2", found, err)
	}
}

// TestUIDBehindTheBodyUnderSTARTTLS: what the guard tolerates, it tolerates under TLS, too.
func TestUIDBehindTheBodyUnderSTARTTLS(t *testing.T) {
	serverTLS, client := fakeserver.TLS()
	store := fakeserver.NewStore()
	store.Add("INBOX", []byte("Subject: x\r\n\r\n"))
	s := server(store)
	s.TLS = serverTLS
	s.Reply = func(verb, _ string) (string, bool) {
		return "* 1 FETCH (BODY[] {3}\r\nabc UID 1)\r\n%T OK x\r\n", verb == "UID FETCH"
	}
	c, err := New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), starttls(client))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	bodies, failed, err := fetchtest.Collect(t.Context(), c, listing.Refs)
	if err != nil || len(failed) != 0 || len(bodies) != 1 {
		t.Errorf("got %v, %v, %v", bodies, failed, err)
	}
}

// What is sent with each kind of connection and each setting.
func TestCredentialsOnlyUnderTLS(t *testing.T) {
	serverTLS, client := fakeserver.TLS()
	for name, test := range map[string]struct {
		implicit, startTLS, allow bool
		want                      fetch.Kind
	}{
		"implicit":                  {true, false, false, 0},
		"STARTTLS":                  {false, true, false, 0},
		"plaintext":                 {false, false, false, fetch.TLS},
		"plaintext, allowed":        {false, false, true, 0},
		"STARTTLS under TLS":        {true, true, false, 0},
		"STARTTLS despite allowing": {false, true, true, 0},
	} {
		for _, mechanism := range []string{"", "PLAIN"} {
			t.Run(name+" "+mechanism, func(t *testing.T) {
				s := server(fakeserver.NewStore())
				if test.implicit || test.startTLS {
					s.TLS, s.Implicit = serverTLS, test.implicit
				}
				o := starttls(client)
				o.StartTLS = test.startTLS
				o.Credentials.AllowPlaintext, o.Credentials.Mechanism = test.allow, sasl.Mechanism(mechanism)
				sent := &sniffer{Conn: fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr())}
				var conn net.Conn = sent
				if test.implicit {
					conn = tls.Client(conn, client)
				}
				c, err := New(t.Context(), conn, o)
				if fetch.KindOf(err) != test.want || (err == nil) != (test.want == 0) {
					t.Errorf("got %v, want Kind %v", err, test.want)
				}
				if c != nil {
					c.Abort()
				}
				clear := strings.Contains(sent.said.String(), "AUTHENTICATE") || strings.Contains(sent.said.String(), "LOGIN")
				if want := test.allow && !test.startTLS; clear != want {
					t.Errorf("credentials in clear: %v, want %v", clear, want)
				}
			})
		}
	}
}

// sniffer keeps what is written.
type sniffer struct {
	net.Conn
	said strings.Builder
}

func (s *sniffer) Write(p []byte) (int, error) {
	s.said.Write(p)
	return s.Conn.Write(p)
}

// Certificates that do not verify, either way of coming to TLS.
func TestCertificates(t *testing.T) {
	ca := fakeserver.NewCA()
	now := time.Now()
	for name, test := range map[string]struct {
		certificate tls.Certificate
		want        string
	}{
		"expired":                 {ca.Issue(fakeserver.Leaf{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}), "expired"},
		"not yet valid":           {ca.Issue(fakeserver.Leaf{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}), "not yet valid"},
		"wrong host":              {ca.Issue(fakeserver.Leaf{Names: []string{"other.example.org"}}), "other.example.org"},
		"NUL in the name":         {ca.Issue(fakeserver.Leaf{Names: []string{"localhost\x00.example.org"}}), "not localhost"},
		"NUL behind the name":     {ca.Issue(fakeserver.Leaf{Names: []string{"localhost\x00"}}), "not localhost"},
		"wildcard for every name": {ca.Issue(fakeserver.Leaf{Names: []string{"*"}}), "not localhost"},
		"wildcard within a label": {ca.Issue(fakeserver.Leaf{Names: []string{"local*"}}), "not localhost"},
		"IDN that looks like it":  {ca.Issue(fakeserver.Leaf{Names: []string{"xn--lcalhost-hog"}}), "not localhost"},
		"self-signed":             {fakeserver.SelfSigned(fakeserver.Leaf{}), "unknown authority"},
		"unknown CA":              {fakeserver.NewCA().Issue(fakeserver.Leaf{}), "unknown authority"},
	} {
		for _, implicit := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				said := 0
				s := server(fakeserver.NewStore())
				s.TLS, s.Implicit = &tls.Config{Certificates: []tls.Certificate{test.certificate}}, implicit
				s.Reply = func(verb, _ string) (string, bool) {
					if verb == "AUTHENTICATE" || verb == "LOGIN" {
						said++
					}
					return "", false
				}
				client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
				srv := fetchtest.Listen(t, s.Serve)
				conn, o := fetchtest.Dial(t, srv.Addr()), starttls(client)
				if implicit {
					conn = tls.Client(conn, client)
				}
				_, err := New(t.Context(), conn, o)
				if fetch.KindOf(err) != fetch.TLS || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want Kind tls and %q", err, test.want)
				}
				srv.Close()
				if said > 0 {
					t.Error("credentials were sent")
				}
			})
		}
	}
}

// A port that speaks plaintext where TLS is expected, and the other way round.
func TestPlaintextForTLS(t *testing.T) {
	serverTLS, client := fakeserver.TLS()
	plain := fetchtest.Listen(t, server(fakeserver.NewStore()).Serve)
	o := starttls(client)
	o.StartTLS = false
	_, err := New(t.Context(), tls.Client(fetchtest.Dial(t, plain.Addr()), client), o)
	if fetch.KindOf(err) != fetch.TLS {
		t.Errorf("plaintext on a TLS port: got %v, want Kind tls", err)
	}
	s := server(fakeserver.NewStore())
	s.TLS, s.Implicit = serverTLS, true
	o = starttls(client)
	o.Timeouts.Idle = 200 * time.Millisecond
	_, err = New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), o)
	if kind := fetch.KindOf(err); kind != fetch.Unreachable && kind != fetch.Protocol {
		t.Errorf("TLS on a plaintext port: got %v, want Kind unreachable or protocol", err)
	}
}

// The handshake stalls.
func TestHandshakeStalls(t *testing.T) {
	_, client := fakeserver.TLS()
	for name, script := range map[string]string{"at once": "", "in it": "\x16\x03\x03"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, peer := net.Pipe()
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, _ = io.WriteString(peer, "* OK x\r\n")
					_, _ = io.ReadFull(peer, make([]byte, len("H1 STARTTLS\r\n")))
					_, _ = io.WriteString(peer, "H1 OK x\r\n")
					_, _ = io.ReadFull(peer, make([]byte, 5))
					_, _ = io.WriteString(peer, script)
					_, _ = io.Copy(io.Discard, peer)
				}()
				begun := time.Now()
				_, err := New(t.Context(), conn, starttls(client))
				if took := time.Since(begun); fetch.KindOf(err) != fetch.Unreachable || took > 4*time.Minute {
					t.Errorf("got %v after %v, want Kind unreachable after 3 minutes", err, took)
				}
				<-done
				_ = peer.Close()
			})
		})
		t.Run("implicit, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, peer := net.Pipe()
				defer peer.Close()
				go func() {
					_, _ = io.ReadFull(peer, make([]byte, 5))
					_, _ = io.WriteString(peer, script)
					_, _ = io.Copy(io.Discard, peer)
				}()
				begun := time.Now()
				_, err := New(t.Context(), tls.Client(conn, client), starttls(client))
				if took := time.Since(begun); fetch.KindOf(err) != fetch.Unreachable || took != 3*time.Minute {
					t.Errorf("got %v after %v, want Kind unreachable after 3 minutes", err, took)
				}
			})
		})
	}
}
