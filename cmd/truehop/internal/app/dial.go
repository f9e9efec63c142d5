package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

const (
	// connectTime bounds a TCP connection with all addresses of the host, and a handshake after it.
	connectTime = 30 * time.Second
	// keepAlive finds dead peers behind NAT boxes that forget idle connections.
	keepAlive = time.Minute
)

// tlsConfig returns a configuration that verifies host against the system's authorities, or
// against those in caFile alone, which the key below section names.
func tlsConfig(section, host, caFile string, oldest config.TLSVersion) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: uint16(oldest)}
	if caFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, &config.Error{Problems: []config.Problem{{Key: section + ".tls_ca_file", Text: err.Error()}}, Err: err}
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, &config.Error{Problems: []config.Problem{{Key: section + ".tls_ca_file", Text: caFile + " holds no certificate in PEM form"}}}
	}
	return c, nil
}

// handshake begins TLS, within limit. It closes the connection when it fails.
func handshake(ctx context.Context, conn net.Conn, c *tls.Config, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the one that says something
		return nil, err
	}
	return secure, nil
}
