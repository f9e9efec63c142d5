package inject_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// identity is a self-signed certificate for a name, and the pool that trusts it.
type identity struct {
	cert  tls.Certificate
	roots *x509.CertPool
	pem   string // key and certificate
}

func newIdentity(t *testing.T, name string, until time.Time) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})) + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return identity{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots: roots, pem: text}
}

func (i identity) server() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{i.cert}} }

func (i identity) client(name string) *tls.Config {
	return &tls.Config{RootCAs: i.roots, ServerName: name}
}

// Nothing is said about a message before TLS is established with the server that was meant.
func TestStartTLS(t *testing.T) {
	good := newIdentity(t, "mx.example.org", time.Now().Add(time.Hour))
	other := newIdentity(t, "mx.example.org", time.Now().Add(time.Hour))
	expired := newIdentity(t, "mx.example.org", time.Now().Add(-time.Minute))
	refuse := func(reply string) []injecttest.Fault {
		return []injecttest.Fault{{Stage: injecttest.STARTTLS, Reply: reply}}
	}
	for _, c := range []struct {
		name   string
		server injecttest.Options
		config *tls.Config
		ok     bool
	}{
		{"good", injecttest.Options{TLS: good.server()}, good.client("mx.example.org"), true},
		{"good, once", injecttest.Options{TLS: good.server(), Once: true}, good.client("mx.example.org"), true},
		{"not offered", injecttest.Options{}, good.client("mx.example.org"), false},
		{"454 to STARTTLS", injecttest.Options{TLS: good.server(), Faults: refuse("454 4.7.0 TLS not available")}, good.client("mx.example.org"), false},
		{"250 to STARTTLS", injecttest.Options{TLS: good.server(), Faults: refuse("250 ok")}, good.client("mx.example.org"), false},
		{"reply behind the one to STARTTLS", injecttest.Options{TLS: good.server(), Faults: []injecttest.Fault{{Stage: injecttest.STARTTLS, Extra: "250 injected"}}}, good.client("mx.example.org"), false},
		{"unknown CA", injecttest.Options{TLS: good.server()}, other.client("mx.example.org"), false},
		{"wrong name", injecttest.Options{TLS: good.server()}, good.client("mail.example.org"), false},
		{"expired", injecttest.Options{TLS: expired.server()}, expired.client("mx.example.org"), false},
		{"no configuration", injecttest.Options{TLS: good.server()}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.server.Record = true
			s := newServer(t, c.server)
			if _, err := s.Start(); err != nil {
				t.Fatal(err)
			}
			o := inject.Options{StartTLS: inject.StartTLS, TLSConfig: c.config, Connections: 1}
			for i, r := range injectAll(t, s.Dial, o, message(1), message(2), message(3)) {
				if c.ok != (r.Outcome == inject.Delivered) || !c.ok && kindOf(r) != inject.TLS {
					t.Errorf("message %d: %+v, err %v", i, r, r.Err)
				}
			}
			for _, m := range s.Messages() {
				if !m.TLS {
					t.Error("delivered in the clear")
				}
			}
			if v := verbs(said(s)); !c.ok && strings.Contains(v, "XCLIENT") {
				t.Errorf("said %q without TLS", v)
			}
		})
	}
}

// TestImplicitTLS: the Dialer makes the TLS connection, and the session works as on any other.
func TestImplicitTLS(t *testing.T) {
	id := newIdentity(t, "mx.example.org", time.Now().Add(time.Hour))
	s := newServer(t, injecttest.Options{})
	l, err := tls.Listen("tcp", "127.0.0.1:0", id.server())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() { // ends with the listener
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go s.Serve(conn)
		}
	}()
	dialer := func(config *tls.Config) inject.Dialer {
		return func(ctx context.Context) (net.Conn, error) {
			d := tls.Dialer{Config: config}
			return d.DialContext(ctx, "tcp", l.Addr().String())
		}
	}
	for i, r := range injectAll(t, dialer(id.client("mx.example.org")), inject.Options{Connections: 1}, message(1), message(2)) {
		if r.Outcome != inject.Delivered {
			t.Errorf("message %d: %+v, err %v", i, r, r.Err)
		}
	}
	r := injectAll(t, dialer(id.client("mail.example.org")), inject.Options{}, message(3))[0]
	if r.Outcome != inject.Deferred || kindOf(r) != inject.TLS {
		t.Errorf("wrong name: %+v, err %v", r, r.Err)
	}
	c, err := inject.Probe(t.Context(), dialer(id.client("mx.example.org")), inject.Options{}, probed()...)
	if err != nil || c.TLS != "TLS 1.3" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestAuth: credentials go out only where nobody else can read them, and never into a trace.
func TestAuth(t *testing.T) {
	id := newIdentity(t, "mx.example.org", time.Now().Add(time.Hour))
	const password = "canary-4711"
	plain := func(password string) func() (sasl.Client, error) {
		return func() (sasl.Client, error) { return sasl.NewPlainClient("", "joe", password), nil }
	}
	for _, c := range []struct {
		name    string
		users   map[string]string
		options inject.Options
		kind    inject.Kind
	}{
		{"good", map[string]string{"joe": password}, inject.Options{Auth: plain(password)}, inject.Unclassified},
		{"within TLS", map[string]string{"joe": password}, inject.Options{Auth: plain(password), StartTLS: inject.StartTLS, TLSConfig: id.client("mx.example.org")}, inject.Unclassified},
		{"wrong", map[string]string{"joe": "other"}, inject.Options{Auth: plain(password)}, inject.Auth},
		{"not offered", nil, inject.Options{Auth: plain(password)}, inject.Auth},
		{"no credentials", map[string]string{"joe": password}, inject.Options{Auth: func() (sasl.Client, error) { return nil, errSource }}, inject.Auth},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Users: c.users, TLS: id.server()})
			var trace strings.Builder
			c.options.Trace = func(_ uint64, line string) { trace.WriteString(line + "\n") }
			c.options.XCLIENT, c.options.Connections = inject.Off, 1
			r := injectAll(t, s.Dial, c.options, message(1))[0]
			if kindOf(r) != c.kind || (r.Outcome == inject.Delivered) != (c.kind == inject.Unclassified) {
				t.Fatalf("%+v, err %v", r, r.Err)
			}
			if r.Outcome == inject.Delivered && s.Messages()[0].User != "joe" {
				t.Error("not authenticated")
			}
			if strings.Contains(trace.String(), password) || strings.Contains(trace.String(), "AGpvZQ") {
				t.Errorf("trace holds the password:\n%s", trace.String())
			}
		})
	}
	for name, reply := range map[string]string{
		"the command is quoted":           `500 5.5.1 Command unrecognized: "AUTH PLAIN AGpvZQBjYW5hcnktNDcxMQ=="`,
		"a part of it":                    `500 5.5.1 unrecognized: AUTH PLAIN AGpvZQBjYW5hcn...`,
		"the password is quoted":          "535 5.7.8 canary-4711 is not the password of joe",
		"nothing is quoted":               "535 5.7.8 joe is not known",
		"and the connection is closed":    "421 4.7.0 AGpvZQBjYW5hcnktNDcxMQ==",
		"behind what is kept of a reply":  "535-" + strings.Repeat("x", 300) + "\r\n535-" + strings.Repeat("y", 300) + "\r\n535 canary-4711",
		"where no reply is":               "canary-4711 is wrong",
		"in the first of several replies": "535-canary-4711\r\n535 5.7.8 is wrong",
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Users: map[string]string{"joe": password}, Faults: []injecttest.Fault{{Stage: injecttest.AUTH, Reply: reply}}})
			var shown strings.Builder
			o := inject.Options{XCLIENT: inject.Off, Connections: 1, Auth: plain(password), Trace: func(_ uint64, line string) { shown.WriteString(line + "\n") }}
			r := injectAll(t, s.Dial, o, message(1))[0]
			fmt.Fprintf(&shown, "%v %+v", r.Err, r)
			if strings.Contains(shown.String(), "canary") || strings.Contains(shown.String(), "AGpvZQ") {
				t.Errorf("it is shown:\n%s", &shown)
			}
			if name == "nothing is quoted" && !strings.Contains(r.Err.Error(), "joe is not known") {
				t.Errorf("what it said is not shown: %v", r.Err)
			}
		})
	}
	t.Run("in the clear over a network", func(t *testing.T) {
		s := newServer(t, injecttest.Options{Users: map[string]string{"joe": password}, Record: true})
		dial := func(ctx context.Context) (net.Conn, error) {
			conn, err := s.Dial(ctx)
			return remoteConn{conn}, err
		}
		r := injectAll(t, dial, inject.Options{Auth: plain(password)}, message(1))[0]
		if kindOf(r) != inject.Auth || strings.Contains(strings.Join(s.Transcript(), "\n"), "AUTH PLAIN ") {
			t.Errorf("%+v, err %v", r, r.Err)
		}
	})
}

// remoteConn claims to lead to another host.
type remoteConn struct{ net.Conn }

func (remoteConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 25} }

// TestLMTP covers RFC 2033: a verdict for each recipient.
func TestLMTP(t *testing.T) {
	dot := func(nth int, reply string, then injecttest.Then) injecttest.Fault {
		return injecttest.Fault{Stage: injecttest.DOT, Nth: nth, Reply: reply, Then: then}
	}
	for _, c := range []struct {
		name    string
		faults  []injecttest.Fault
		outcome inject.Outcome
		each    string
	}{
		{"all", nil, inject.Delivered, "delivered delivered delivered"},
		{"each its own", []injecttest.Fault{dot(2, "452 4.2.2 over quota", 0), dot(3, "550 5.2.0 no", 0)}, inject.Deferred, "delivered deferred refused"},
		{"one refused at RCPT", []injecttest.Fault{{Stage: injecttest.RCPT, Nth: 2, Reply: "550 5.1.1 unknown"}}, inject.Delivered, "delivered refused delivered"},
		{"lost in the middle", []injecttest.Fault{dot(2, "", injecttest.CloseConn)}, inject.InDoubt, "delivered in-doubt in-doubt"},
		{"garbage in the middle", []injecttest.Fault{dot(2, "354 what", 0)}, inject.InDoubt, "delivered in-doubt in-doubt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{LMTP: true, Faults: c.faults})
			m := message(1)
			m.To = []string{"a@example.org", "b@example.org", "c@example.org"}
			rs := injectAll(t, s.Dial, inject.Options{Dialect: inject.LMTP, Connections: 1}, m, message(2))
			if rs[0].Outcome != c.outcome || outcomes(rs[0]) != c.each || rs[0].Stage != "dot" {
				t.Errorf("%v (%s): %+v, err %v", rs[0].Outcome, outcomes(rs[0]), rs[0], rs[0].Err)
			}
			if rs[1].Outcome != inject.Delivered {
				t.Errorf("behind it: %+v, err %v", rs[1], rs[1].Err)
			}
		})
	}
}
