package app

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
)

// TestGreetedByAPortForTLS: a server that waits for TLS is not waited for longer than for a connection, and the message says what to do.
func TestGreetedByAPortForTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		began := time.Now()
		_, err := greeted(t.Context(), near, &config.Account{Name: "work", Host: "imap.example.org", Port: 1993}, 30*time.Second)
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind != fetch.Unreachable || !strings.Contains(e.Hint(), "accounts.work.tls: implicit") {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestGreetedKeepsTheGreeting: all that the server says is there to be read, and a connection that ends is told.
func TestGreetedKeepsTheGreeting(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		_, _ = io.WriteString(far, "* OK hello")
		_ = far.Close()
	}()
	conn, err := greeted(t.Context(), near, &config.Account{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(conn); err != nil || string(said) != "* OK hello" {
		t.Errorf("%q, %v", said, err)
	}
	near, far = net.Pipe()
	_ = far.Close()
	if _, err := greeted(t.Context(), near, &config.Account{}, time.Minute); fetch.KindOf(err) != fetch.Unreachable {
		t.Errorf("%v", err)
	}
	near, far = net.Pipe()
	defer far.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := greeted(ctx, near, &config.Account{}, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
