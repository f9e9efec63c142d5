//go:build linux

package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// link is the way of a node to the database, which can be cut, and on which replies can be held back.
type link struct {
	dir, to string

	mu    sync.Mutex
	conns map[net.Conn]bool
	// said counts the octets that came from the node.
	said int
	// sending, if not nil, is closed when the node has asked to record a message as sending, or if after is not 0, has said so many octets; from
	// then on replies are held until held is closed.
	sending, held chan struct{}
	after         int
}

// newLink serves a UNIX socket as PostgreSQL does, and passes on what comes to the one in dir.
func newLink(t *testing.T, dir string) *link {
	t.Helper()
	own, err := os.MkdirTemp("", "fl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(own) })
	const name = ".s.PGSQL.5432"
	l := &link{dir: own, to: filepath.Join(dir, name), conns: map[net.Conn]bool{}}
	listener, err := net.Listen("unix", filepath.Join(own, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close(); l.cut() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.serve(conn)
		}
	}()
	return l
}

func (l *link) serve(node net.Conn) {
	defer node.Close()
	base, err := net.Dial("unix", l.to)
	if err != nil {
		return // it is stopped
	}
	defer base.Close()
	l.mu.Lock()
	l.conns[node], l.conns[base] = true, true
	l.mu.Unlock()
	go func() {
		defer node.Close()
		_, _ = io.Copy(node, holding{base, l})
	}()
	_, _ = io.Copy(base, watching{node, l, new([]byte)})
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, node)
	delete(l.conns, base)
}

// heard returns how many octets came from the node.
func (l *link) heard() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said
}

// holdAfter has replies held from when the node has said so many octets. That closes what it returns.
func (l *link) holdAfter(octets int) (holds <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sending, l.after = make(chan struct{}), octets
	return l.sending
}

// cut ends all connections.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close()
	}
}

// watching sees what a node says.
type watching struct {
	io.Reader
	link *link
	last *[]byte
}

func (w watching) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	// The value of a parameter, with its length before it.
	said := append(*w.last, p[:n]...)
	w.link.mu.Lock()
	defer w.link.mu.Unlock()
	w.link.said += n
	due := bytes.Contains(said, []byte("\x00\x00\x00\x07sending"))
	if w.link.after > 0 {
		due = w.link.said >= w.link.after
	}
	if w.link.sending != nil && w.link.held == nil && due {
		w.link.held = make(chan struct{})
		close(w.link.sending)
	}
	*w.last = bytes.Clone(said[max(0, len(said)-16):])
	return n, err
}

// holding keeps back what the database says.
type holding struct {
	io.Reader
	link *link
}

func (h holding) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.link.mu.Lock()
	held := h.link.held
	h.link.mu.Unlock()
	if held != nil {
		<-held
	}
	return n, err
}
