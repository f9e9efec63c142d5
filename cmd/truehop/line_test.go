package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

// relay joins its input and output with HOST:PORT, the first argument. It is the program of connect_command in tests.
func relay() {
	conn, err := net.Dial("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(3)
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, conn)
}

// listenHTTP serves HTTP on a port of this machine.
func listenHTTP(t *testing.T, serve http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// passOn joins two connections until one of them ends.
func passOn(a, b net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
}

// connectProxy serves CONNECT (RFC 9110 section 9.3.6). Where login is not "", it wants that of RFC 7617.
func connectProxy(t *testing.T, login string, used *atomic.Int64) string {
	return listenHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
		if login != "" && user+":"+password != login {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		far, err := net.Dial("tcp", r.Host)
		if r.Method != http.MethodConnect || err != nil {
			http.Error(w, "no way \x1b[31mthere", http.StatusBadGateway)
			return
		}
		used.Add(1)
		near, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(near, "HTTP/1.1 200 go\r\n\r\n")
		passOn(near, far)
	})
}

// socksProxy serves SOCKS5 (RFC 1928). Where login is not "", it wants that of RFC 1929.
func socksProxy(t *testing.T, login string, used *atomic.Int64) string {
	return listen(t, func(near net.Conn) {
		defer near.Close()
		read := func(n int) []byte {
			b := make([]byte, n)
			_, _ = io.ReadFull(near, b)
			return b
		}
		read(int(read(2)[1]))
		method := byte(0)
		if login != "" {
			method = 2
		}
		_, _ = near.Write([]byte{5, method})
		if login != "" {
			user := read(int(read(2)[1]))
			password := read(int(read(1)[0]))
			if string(user)+":"+string(password) != login {
				_, _ = near.Write([]byte{1, 1})
				return
			}
			_, _ = near.Write([]byte{1, 0})
		}
		host := ""
		switch kind := read(4)[3]; kind {
		case 1:
			host = net.IP(read(4)).String()
		case 3:
			host = string(read(int(read(1)[0])))
		}
		far, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(read(2))))))
		if err != nil {
			_, _ = near.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}) // connection refused
			return
		}
		used.Add(1)
		_, _ = near.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		passOn(near, far)
	})
}

// lineWorld is an upstream with one message, an MTA, and a directory for files.
type lineWorld struct {
	dir, upstream, mta string
	taken              func() int
}

func newLineWorld(t *testing.T, protocol string, secure *tls.Config) *lineWorld {
	t.Helper()
	mta := injecttest.New(injecttest.Options{})
	t.Cleanup(func() {
		if err := mta.Close(); err != nil {
			t.Error(err)
		}
	})
	store := fakeserver.NewStore()
	store.Add("INBOX", scriptMail(1))
	serve := (&fakeserver.IMAP{Store: store, User: "u", Password: "p", TLS: secure, Implicit: secure != nil}).Serve
	if protocol == "pop3" {
		serve = (&fakeserver.POP3{Store: store, User: "u", Password: "p", TLS: secure, Implicit: secure != nil}).Serve
	}
	return &lineWorld{t.TempDir(), listen(t, serve), listen(t, mta.Serve), func() int { return len(mta.Messages()) }}
}

func (w *lineWorld) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// config writes the configuration of one account with further keys.
func (w *lineWorld) config(t *testing.T, keys string) string {
	t.Helper()
	host, port, _ := strings.Cut(w.upstream, ":")
	if !strings.Contains(keys, "provider: ") {
		keys = "mx: [mx.example.net], " + keys
	}
	return w.write(t, "truehop.yaml", fmt.Sprintf(
		"state_dir: %s\ninject: {address: %q}\naccounts:\n  work: {host: %q, port: %s, user: u, password_file: %s, recipients: [joe@example.org], %s}\n",
		filepath.Join(w.dir, "state"), w.mta, host, port, w.write(t, "password", "p\n"), keys))
}

// run runs a pass and wants an exit code and, where that is 0, the message at the MTA.
func (w *lineWorld) run(t *testing.T, want int, keys string) *process {
	t.Helper()
	p := must(t, want, "run", "--config", w.config(t, keys))
	arrived := 0
	if want == exitOK {
		arrived = 1
	}
	if got := w.taken(); got != arrived {
		t.Errorf("the MTA has %d messages, want %d", got, arrived)
	}
	return p
}

// TestMailComesThroughAProxy: SOCKS5 and CONNECT, with and without a user; what a proxy refuses has its own words.
func TestMailComesThroughAProxy(t *testing.T) {
	for _, tc := range []struct {
		name, scheme, user, password, login string
		unreachable                         bool
		want                                int
		says                                string
	}{
		{"SOCKS5", "socks5", "", "", "", false, exitOK, ""},
		{"SOCKS5 with a user", "socks5", "joe@", "sesame", "joe:sesame", false, exitOK, ""},
		{"SOCKS5 refuses the user", "socks5", "joe@", "wrong", "joe:sesame", false, exitCredentials, "proxy_password_file"},
		{"SOCKS5 cannot get there", "socks5", "", "", "", true, exitUnavailable, "through socks5://127.0.0.1:"},
		{"CONNECT", "http", "", "", "", false, exitOK, ""},
		{"CONNECT with a user", "http", "joe@", "sesame", "joe:sesame", false, exitOK, ""},
		{"CONNECT refuses the user", "http", "joe@", "wrong", "joe:sesame", false, exitCredentials, "proxy_password_file"},
		{"CONNECT wants a user", "http", "", "", "joe:sesame", false, exitCredentials, "407"},
		{"CONNECT cannot get there", "http", "", "", "", true, exitUnavailable, "502 Bad Gateway"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newLineWorld(t, "imap", nil)
			var used atomic.Int64
			start := socksProxy
			if tc.scheme == "http" {
				start = connectProxy
			}
			keys := fmt.Sprintf("tls: none, allow_plaintext: true, proxy: %q", tc.scheme+"://"+tc.user+start(t, tc.login, &used))
			if tc.user != "" {
				keys += ", proxy_password_file: " + w.write(t, "proxy.pass", tc.password+"\n")
			}
			if tc.unreachable {
				w.upstream = injecttest.Port(t)
			}
			p := w.run(t, tc.want, keys)
			if shown := p.stderr.String(); !strings.Contains(shown, tc.says) || strings.Contains(shown, "sesame") || strings.Contains(shown, "\x1b") {
				t.Errorf("want %q and neither secret nor escape in\n%s", tc.says, shown)
			}
			if got := used.Load() > 0; got != (tc.want == exitOK) {
				t.Errorf("the proxy made a connection: %v", got)
			}
		})
	}
}

// TestConnectionByCommand: a program's input and output are the connection, with TLS in it and without; what it
// complains of is logged, and how it ended is told.
func TestConnectionByCommand(t *testing.T) {
	program, err := exec.LookPath("relay")
	if err != nil {
		t.Fatal(err)
	}
	server, _ := fakeserver.TLS()
	for _, protocol := range []string{"imap", "pop3"} {
		t.Run(protocol, func(t *testing.T) {
			w := newLineWorld(t, protocol, nil)
			w.run(t, exitOK, fmt.Sprintf("protocol: %s, tls: none, connect_command: [%s, %q]", protocol, program, w.upstream))
		})
		t.Run(protocol+" within TLS", func(t *testing.T) {
			w := newLineWorld(t, protocol, server)
			w.run(t, exitOK, fmt.Sprintf("protocol: %s, connect_command: [%s, %q], tls_pins: [%q]", protocol, program, w.upstream, sumOf(server.Certificates[0].Certificate[0])))
		})
		t.Run(protocol+" and the program fails", func(t *testing.T) {
			w := newLineWorld(t, protocol, nil)
			p := w.run(t, exitUnavailable, fmt.Sprintf("protocol: %s, tls: none, connect_command: [%s, %q]", protocol, program, injecttest.Port(t)))
			if shown := p.stderr.String(); !strings.Contains(shown, "exit status 3: relay: dial tcp") {
				t.Errorf("how the program ended is not told:\n%s", shown)
			}
		})
	}
	t.Run("no such program", func(t *testing.T) {
		w := newLineWorld(t, "imap", nil)
		p := w.run(t, exitUnavailable, "tls: none, connect_command: [/nonexistent/program]")
		if shown := p.stderr.String(); !strings.Contains(shown, "connect_command") {
			t.Errorf("the key is not named:\n%s", shown)
		}
	})
}

func sumOf(der []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(der)) }

// TestPinsOfACertificate: a sum of the certificate or of its key takes the place of name and authority; with an authority
// both must be right. Where none fits, the error shows the sums.
func TestPinsOfACertificate(t *testing.T) {
	ca := fakeserver.NewCA()
	own := fakeserver.SelfSigned(fakeserver.Leaf{Names: []string{"elsewhere.example.net"}})
	issued := ca.Issue(fakeserver.Leaf{})
	keyOf := func(c tls.Certificate) string {
		parsed, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return sumOf(parsed.RawSubjectPublicKeyInfo)
	}
	const other = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	for _, tc := range []struct {
		name      string
		server    tls.Certificate
		pins      string
		authority bool
		want      int
		says      string
	}{
		{"of the certificate", own, sumOf(own.Certificate[0]), false, exitOK, ""},
		{"of the key", own, keyOf(own), false, exitOK, ""},
		{"one of two", own, other + ", " + keyOf(own), false, exitOK, ""},
		{"none fits", own, other, false, exitProtocol, sumOf(own.Certificate[0]) + ", its key " + keyOf(own)},
		{"with an authority", issued, keyOf(issued), true, exitOK, ""},
		{"with an authority of which the certificate is not", own, keyOf(own), true, exitProtocol, "certificate"},
		{"with an authority, and none fits", issued, other, true, exitProtocol, "tls_pins"},
	} {
		for _, form := range []string{"imap implicit", "imap starttls", "pop3 implicit", "pop3 starttls"} {
			t.Run(strings.ReplaceAll(tc.name, ",", "")+" "+form, func(t *testing.T) {
				protocol, mode, _ := strings.Cut(form, " ")
				w := newLineWorld(t, protocol, nil)
				store := fakeserver.NewStore()
				store.Add("INBOX", scriptMail(1))
				secure := &tls.Config{Certificates: []tls.Certificate{tc.server}}
				serve := (&fakeserver.IMAP{Store: store, User: "u", Password: "p", TLS: secure, Implicit: mode == "implicit"}).Serve
				if protocol == "pop3" {
					serve = (&fakeserver.POP3{Store: store, User: "u", Password: "p", TLS: secure, Implicit: mode == "implicit"}).Serve
				}
				w.upstream = listen(t, serve)
				keys := fmt.Sprintf("protocol: %s, tls: %s, tls_pins: [%s]", protocol, mode, tc.pins)
				if tc.authority {
					keys += ", tls_server_name: localhost, tls_ca_file: " + w.write(t, "ca.pem", string(ca.PEM()))
				}
				p := w.run(t, tc.want, keys)
				if shown := p.stderr.String(); !strings.Contains(shown, tc.says) {
					t.Errorf("want %q in\n%s", tc.says, shown)
				}
			})
		}
	}
}

// TestClientCertificate: an upstream that asks for a certificate gets it, and is told apart from one that is out of order.
// Nothing writes the keys of a connection to a file, whatever the environment says.
func TestClientCertificate(t *testing.T) {
	ca := fakeserver.NewCA()
	keys := filepath.Join(t.TempDir(), "keys")
	t.Setenv("SSLKEYLOGFILE", keys)
	for _, protocol := range []string{"imap", "pop3"} {
		for _, oldest := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			secure := &tls.Config{
				Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}, MaxVersion: oldest,
				ClientAuth: tls.RequireAnyClientCert,
			}
			base := fmt.Sprintf("protocol: %s, tls_server_name: localhost, tls_ca_file: ", protocol)
			t.Run(fmt.Sprintf("%s %s given", protocol, tls.VersionName(oldest)), func(t *testing.T) {
				w := newLineWorld(t, protocol, secure)
				certificate, key := ca.ServerPEM("joe")
				w.run(t, exitOK, base+w.write(t, "ca.pem", string(ca.PEM()))+", tls_cert_file: "+w.write(t, "own.pem", string(certificate))+", tls_key_file: "+w.write(t, "own.key", string(key)))
			})
			t.Run(fmt.Sprintf("%s %s missing", protocol, tls.VersionName(oldest)), func(t *testing.T) {
				w := newLineWorld(t, protocol, secure)
				p := w.run(t, exitProtocol, base+w.write(t, "ca.pem", string(ca.PEM())))
				if shown := p.stderr.String(); !strings.Contains(shown, "accounts.work.tls_cert_file") {
					t.Errorf("the key to set is not named:\n%s", shown)
				}
			})
		}
	}
	if _, err := os.Stat(keys); !os.IsNotExist(err) {
		t.Errorf("the keys of a connection were written to a file (%v)", err)
	}
}
