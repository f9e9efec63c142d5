// Package mailtest has a mailbox and an MTA that an installed truehop fetches from and delivers to.
package mailtest

import (
	"fmt"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

// What opens the mailbox, and the client and the MX that each message tells of.
const (
	User     = "me"
	Password = "secret"
	Client   = "192.0.2.7"
	MX       = "mx.provider.example"
)

// Mail is the two servers, on loopback addresses. Host and Port are the mailbox's, which speaks IMAP without TLS.
type Mail struct {
	Host, Port string

	t        testing.TB
	store    *fakeserver.Store
	mta      *injecttest.Server
	accepted chan struct{}
	// arrived and seen count the messages that came into the mailbox and those of accepted that were taken note of.
	arrived, seen int
}

// Start starts the servers. The MTA listens there, which is "tcp" "127.0.0.1:0" or "unix" and a path.
func Start(t testing.TB, network, address string) *Mail {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &Mail{t: t, store: fakeserver.NewStore(), accepted: make(chan struct{}, 1000)}
	imap := fakeserver.Serve(l, (&fakeserver.IMAP{Store: m.store, User: User, Password: Password}).Serve)
	t.Cleanup(imap.Close)
	if m.Host, m.Port, err = net.SplitHostPort(imap.Addr()); err != nil {
		t.Fatal(err)
	}
	m.mta = injecttest.New(injecttest.Options{Accepted: func(injecttest.Message) { m.accepted <- struct{}{} }})
	t.Cleanup(func() {
		if err := m.mta.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := m.mta.Listen(network, address); err != nil {
		t.Fatal(err)
	}
	return m
}

// MTA is the address that the MTA listens at.
func (m *Mail) MTA() string { return m.mta.Addr().String() }

// Arrive puts n messages into the mailbox.
func (m *Mail) Arrive(n int) {
	for range n {
		m.arrived++
		m.store.Add("INBOX", fmt.Appendf(nil, "Received: from mail.example.com (mail.example.com ["+Client+"]) by "+MX+" with ESMTP id %d;"+
			" Sun, 1 Mar 2026 12:00:00 +0000\r\nFrom: a@example.com\r\nSubject: %d\r\n\r\nbody %d\r\n", m.arrived, m.arrived, m.arrived))
	}
}

// Await has a message arrive and waits until the MTA has it, and all before it.
func (m *Mail) Await() {
	m.t.Helper()
	m.Arrive(1)
	for ; m.seen < m.arrived; m.seen++ {
		select {
		case <-m.accepted:
		case <-time.After(5 * time.Minute): // it hangs
			m.t.Fatalf("of %d messages %d were delivered", m.arrived, m.seen)
		}
	}
}

// Delivered holds that the MTA got each message once, with its client.
func (m *Mail) Delivered() {
	m.t.Helper()
	subject := regexp.MustCompile(`(?m)^Subject: (\d+)`)
	times := map[string]int{}
	for _, message := range m.mta.Messages() {
		times[subject.FindString(string(message.Data))]++
		if message.Client.Addr != Client {
			m.t.Errorf("the client was %+v:\n%s", message.Client, message.Data)
		}
	}
	for n := range m.arrived {
		if got := times[fmt.Sprintf("Subject: %d", n+1)]; got != 1 {
			m.t.Errorf("message %d was delivered %d times", n+1, got)
		}
	}
}
