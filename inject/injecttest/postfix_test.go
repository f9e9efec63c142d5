//go:build unix

package injecttest

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestPortTaken: a port that another program takes before master does costs an attempt, no more.
func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	asked := 0
	p := startPostfix(t, PostfixOptions{}, func() (string, error) {
		if asked++; asked == 1 {
			return taken.Addr().String(), nil
		}
		return freePort()
	})
	for _, listener := range []string{ListenOnce, ListenAll, ListenUnix} {
		if _, addr := p.Addr(listener); !p.answers(listener) || addr == taken.Addr().String() {
			t.Errorf("%s does not answer at %s", listener, addr)
		}
	}
}

// TestLog: what a daemon has logged when it answers stands in the log that is read next.
func TestLog(t *testing.T) {
	p := StartPostfix(t, PostfixOptions{})
	for i := range 20 {
		line := fmt.Sprintf("line %d", i)
		if err := p.tellPostlogd(line + strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
		if log := p.Log(); !strings.Contains(log, line) || strings.Contains(log, "mark") {
			t.Errorf("%q is not in the log, or more than that:\n%.3000s", line, log)
		}
	}
}
