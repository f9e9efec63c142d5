package imap

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/sasl"
)

// binder is a server with SCRAM-SHA-256 and SCRAM-SHA-256-PLUS. It holds the connection up to the end of the login.
type binder struct {
	tls     *tls.Config
	binding func(*tls.Conn) scram.ChannelBinding
	none    bool // it has no such binding and says so at once
	asked   []string
	done    chan struct{}
}

func (s *binder) serve(_ context.Context, conn net.Conn) {
	defer close(s.done)
	defer func() { _ = conn.Close() }()
	secure := tls.Server(conn, s.tls)
	if secure.Handshake() != nil {
		return
	}
	client, _ := scram.SHA256.NewClient(user, password, "")
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
	if err != nil {
		return
	}
	backend, _ := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(secure, format+"\r\n", args...) }
	say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS SASL-IR] hi")
	lines := bufio.NewScanner(secure)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 4 {
			return
		}
		s.asked = append(s.asked, words[2])
		conv := backend.NewConversation()
		if words[2] == "SCRAM-SHA-256-PLUS" {
			conv = backend.NewConversationWithChannelBindingRequired(s.binding(secure))
		}
		if s.none && words[2] == "SCRAM-SHA-256-PLUS" {
			say("+ %s", base64.StdEncoding.EncodeToString([]byte("e=unsupported-channel-binding-type")))
			lines.Scan()
			say("%s NO cancelled", words[0])
			continue
		}
		message := words[3]
		for !conv.Done() {
			octets, _ := base64.StdEncoding.DecodeString(message)
			answer, _ := conv.Step(string(octets))
			say("+ %s", base64.StdEncoding.EncodeToString([]byte(answer)))
			if !lines.Scan() {
				return
			}
			message = lines.Text()
		}
		if conv.Valid() {
			say("%s OK [CAPABILITY IMAP4rev1] in", words[0])
			return
		}
		say("%s NO no", words[0])
	}
}

// TestChannelBinding: SCRAM is bound to the connection where the server can do that; where the server sees another connection, nothing
// else is tried.
func TestChannelBinding(t *testing.T) {
	exporter := func(c *tls.Conn) scram.ChannelBinding {
		state := c.ConnectionState()
		b, err := scram.NewTLSExporterBinding(&state)
		if err != nil {
			t.Error(err)
		}
		return b
	}
	config, trusting := fakeserver.TLS()
	endPoint := func(*tls.Conn) scram.ChannelBinding {
		leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
		if err != nil {
			t.Error(err)
		}
		b, err := scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
		if err != nil {
			t.Error(err)
		}
		return b
	}
	other := func(*tls.Conn) scram.ChannelBinding {
		return scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: []byte("another connection")}
	}
	for name, test := range map[string]struct {
		server  binder
		version uint16
		asked   string
		kind    fetch.Kind
	}{
		"TLS 1.3":             {binder{binding: exporter}, tls.VersionTLS13, sasl.SCRAMSHA256Plus, 0},
		"TLS 1.2":             {binder{binding: endPoint}, tls.VersionTLS12, sasl.SCRAMSHA256Plus, 0},
		"somebody in between": {binder{binding: other}, tls.VersionTLS13, sasl.SCRAMSHA256Plus, fetch.TLS},
		"no such binding":     {binder{binding: exporter, none: true}, tls.VersionTLS13, sasl.SCRAMSHA256Plus + " " + sasl.SCRAMSHA256, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.server
			s.tls, s.done = config.Clone(), make(chan struct{})
			s.tls.MaxVersion = test.version
			here, there := net.Pipe()
			go s.serve(t.Context(), there)
			o := plaintext()
			o.Credentials.AllowPlaintext, o.Secure = false, true
			c, err := New(t.Context(), tls.Client(here, trusting), o)
			if err == nil {
				c.Abort()
			}
			<-s.done
			if fetch.KindOf(err) != test.kind || (err == nil) != (test.kind == 0) {
				t.Errorf("got %v of Kind %v, want Kind %v", err, fetch.KindOf(err), test.kind)
			}
			if got := strings.Join(s.asked, " "); got != test.asked {
				t.Errorf("asked %s, want %s", got, test.asked)
			}
		})
	}
}
