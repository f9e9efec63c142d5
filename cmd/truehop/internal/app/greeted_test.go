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

// TestGreetedConnectionHasHalves: the server is told that the session is over, as over any TCP connection. Over a pipe, which has none, it
// is not pretended.
func TestGreetedConnectionHasHalves(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	read := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			defer conn.Close()
			_, _ = io.WriteString(conn, "+OK hello")
			_, err = io.ReadAll(conn) // until the client has hung up
			_, _ = io.WriteString(conn, " and goodbye")
		}
		read <- err
	}()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := greeted(t.Context(), near, &config.Account{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("%T cannot close its half", conn)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(conn); err != nil || string(said) != "+OK hello and goodbye" {
		t.Errorf("%q, %v", said, err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
	pipe, far := net.Pipe()
	defer pipe.Close()
	defer far.Close()
	if err := (&startedConn{Conn: pipe}).CloseWrite(); err == nil {
		t.Error("a pipe has halves")
	}
}
