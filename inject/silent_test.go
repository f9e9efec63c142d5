package inject_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
)

// TestSilentListener: one that says nothing may wait for TLS or for a PROXY header, and the hint says how it gets them.
func TestSilentListener(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		client, server := net.Pipe()
		defer func() { _ = server.Close() }()
		_, err := inject.Open(t.Context(), func(context.Context) (net.Conn, error) { return client, nil }, inject.Options{})
		var e *inject.Error
		if !errors.As(err, &e) || e.Kind != inject.Unreachable {
			t.Fatal(err)
		}
		for _, want := range []string{"tls: implicit", "carrier: proxy-v1 or proxy-v2"} {
			if !strings.Contains(e.Hint(), want) {
				t.Errorf("hint %q, want %q in it", e.Hint(), want)
			}
		}
	})
}
