//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"golang.org/x/net/dns/dnsmessage"
)

// filtersAlone is set in the environment of a test that has network and mounts of its own.
const filtersAlone = "TEST_FILTERS_ALONE"

// alone runs the test t again in a process that shares neither network nor mounts with any other, so that filters find their
// name server on port 53 and their own /etc/resolv.conf. It reports whether this is that process.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(filtersAlone) == "1" {
		resolv := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount(resolv, "/etc/resolv.conf", "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return true
	}
	pattern := "^" + t.Name() + "$"
	if given := flag.Lookup("test.run").Value.String(); strings.HasPrefix(given, t.Name()+"/") {
		pattern = given // a part of it
	}
	args := []string{"-test.run=" + pattern, "-test.v", "-standins=" + *standIns}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), filtersAlone+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) && os.Getenv("TRUEHOP_REQUIRE_SERVERS") != "1" {
		t.Skipf("needs the right to have a network of its own: %v", err)
	}
	if ran := bytes.Contains(out, []byte("--- PASS: "+t.Name())); err != nil || !ran {
		t.Errorf("ran: %v, %v", ran, err)
	}
	t.Logf("%s", out)
	return false
}

// filterZone answers for the domains of the messages: TXT records, addresses and names.
type filterZone struct {
	txt   map[string]string
	addrs map[string]string // name to address
}

// serve answers on port 53 until the test ends.
func (z *filterZone) serve(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		query := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if reply, err := z.answer(query[:n]); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
}

func (z *filterZone) answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: dnsmessage.RCodeNameError},
		Questions: []dnsmessage.Question{q},
	}
	rr := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60}
	asked := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	found := func(body dnsmessage.ResourceBody) {
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: rr, Body: body})
	}
	if text, ok := z.txt[asked]; ok {
		reply.RCode = dnsmessage.RCodeSuccess
		if q.Type == dnsmessage.TypeTXT {
			var parts []string
			for ; len(text) > 250; text = text[250:] {
				parts = append(parts, text[:250])
			}
			found(&dnsmessage.TXTResource{TXT: append(parts, text)})
		}
	}
	for name, addr := range z.addrs {
		ip := net.ParseIP(addr)
		switch {
		case asked == name:
			reply.RCode = dnsmessage.RCodeSuccess
			if v4 := ip.To4(); v4 != nil && q.Type == dnsmessage.TypeA {
				found(&dnsmessage.AResource{A: [4]byte(v4)})
			}
			if ip.To4() == nil && q.Type == dnsmessage.TypeAAAA {
				found(&dnsmessage.AAAAResource{AAAA: [16]byte(ip)})
			}
			if q.Type == dnsmessage.TypeMX {
				found(&dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName(name + ".")})
			}
		case strings.HasSuffix(asked, ".in-addr.arpa") && reversed(asked) == addr && q.Type == dnsmessage.TypePTR:
			reply.RCode = dnsmessage.RCodeSuccess
			found(&dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(name + ".")})
		}
		if strings.HasSuffix(name, "."+asked) && reply.RCode == dnsmessage.RCodeNameError {
			reply.RCode = dnsmessage.RCodeSuccess // a name above one that exists
		}
	}
	return reply.Pack()
}

// reversed is the address that a name below in-addr.arpa is about.
func reversed(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, ".in-addr.arpa"), ".")
	var b strings.Builder
	for i := len(labels) - 1; i >= 0; i-- {
		b.WriteString("." + labels[i])
	}
	return strings.TrimPrefix(b.String(), ".")
}

// dkimKey signs for every domain of the zone, by selector s1.
type dkimKey struct{ private *rsa.PrivateKey }

func newDKIMKey(t *testing.T) dkimKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return dkimKey{key}
}

// record is what the DNS says of the key (RFC 6376 section 3.6.1).
func (k dkimKey) record(t *testing.T) string {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(&k.private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
}

// pem is the private key as filters read it.
func (k dkimKey) pem() string {
	body := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(k.private))
	return "-----BEGIN RSA PRIVATE KEY-----\n" + body + "\n-----END RSA PRIVATE KEY-----\n"
}

// sign puts a signature of domain on top of a message.
func (k dkimKey) sign(t *testing.T, domain, message string) string {
	t.Helper()
	var signed bytes.Buffer
	if err := dkim.Sign(&signed, strings.NewReader(message), &dkim.SignOptions{Domain: domain, Selector: "s1", Signer: k.private}); err != nil {
		t.Fatal(err)
	}
	return signed.String()
}

// startFilter runs a filter until the test ends, and waits until it can be connected to.
func startFilter(t *testing.T, addr string, argv ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", argv[0], &out)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s cannot be connected to: %s", argv[0], &out)
		}
	}
}
