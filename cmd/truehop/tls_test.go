package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

// protection is how connections are asked to be protected, what the servers offer, and what comes of it.
type protection struct {
	name            string
	inject, account string      // keys of the configuration
	mta, upstream   *tls.Config // nil for a server without TLS
	mtaImplicit     bool
	implicit        bool // the upstream's
	want            int
}

// TestTLSOnTheWire: each way to protect a connection, towards the upstream and towards the MTA, and the oldest
// version that is spoken.
func TestTLSOnTheWire(t *testing.T) {
	ca := fakeserver.NewCA()
	secure := &tls.Config{Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}}
	old := secure.Clone()
	old.MaxVersion = tls.VersionTLS12
	for _, p := range []protection{
		{"none and none", "tls: none", "tls: none, allow_plaintext: true", nil, nil, false, false, exitOK},
		{"starttls and starttls", "tls: starttls", "tls: starttls", secure, secure, false, false, exitOK},
		{"implicit and implicit", "tls: implicit", "tls: implicit", secure, secure, true, true, exitOK},
		{"starttls is not offered by the MTA", "tls: starttls", "tls: implicit", nil, secure, false, true, exitProtocol},
		{"starttls is not offered upstream", "tls: none", "tls: starttls", nil, nil, false, false, exitProtocol},
		{"the MTA speaks no TLS", "tls: implicit", "tls: implicit", nil, secure, false, true, exitProtocol},
		{"the upstream speaks no TLS", "tls: none", "tls: implicit", nil, nil, false, false, exitProtocol},
		{"an old version", "tls: none", "tls_min_version: 1.2", nil, old, false, true, exitOK},
		{"too old a version", "tls: none", "tls_min_version: 1.3", nil, old, false, true, exitProtocol},
	} {
		t.Run(p.name, func(t *testing.T) { p.test(t, ca) })
	}
}

func (p protection) test(t *testing.T, ca *fakeserver.CA) {
	o := injecttest.Options{}
	if !p.mtaImplicit {
		o.TLS = p.mta
	}
	mta := injecttest.New(o)
	t.Cleanup(func() {
		if err := mta.Close(); err != nil {
			t.Error(err)
		}
	})
	address := listen(t, func(conn net.Conn) {
		if p.mtaImplicit {
			conn = tls.Server(conn, p.mta)
		}
		mta.Serve(conn)
	})
	store := fakeserver.NewStore()
	store.Add("INBOX", scriptMail(1))
	upstream := listen(t, (&fakeserver.IMAP{Store: store, User: "u", Password: "p", TLS: p.upstream, Implicit: p.implicit}).Serve)
	got := must(t, p.want, "run", "--config", p.config(t, ca, address, upstream))
	want := 0
	if p.want == exitOK {
		want = 1
	}
	taken := mta.Messages()
	if len(taken) != want {
		t.Fatalf("the MTA has %d messages, want %d\n%s", len(taken), want, &got.stderr)
	}
	if want == 1 && !p.mtaImplicit && taken[0].TLS != (p.mta != nil) {
		t.Errorf("the message came within TLS: %v", taken[0].TLS)
	}
}

// config writes the configuration, and the files that it names.
func (p protection) config(t *testing.T, ca *fakeserver.CA, mta, upstream string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	authority := func(keys string) string {
		if strings.Contains(keys, "tls: none") {
			return keys
		}
		return keys + ", tls_ca_file: " + write("ca.pem", string(ca.PEM()))
	}
	_, port, _ := strings.Cut(upstream, ":")
	return write("truehop.yaml", fmt.Sprintf("state_dir: %s\ninject: {address: %q, %s}\naccounts:\n  work: {host: localhost, port: %s, user: u, password_file: %s, recipients: [joe@example.org], mx: [mx.example.net], %s}\n",
		filepath.Join(dir, "state"), mta, authority(p.inject), port, write("password", "p\n"), authority(p.account)))
}

// listen serves connections to a port of this machine.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := fakeserver.Serve(l, serve)
	t.Cleanup(s.Close)
	return s.Addr()
}
