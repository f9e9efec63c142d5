package inject_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// policyLog is a policy server that lets everything pass and keeps what it was asked, by recipient.
type policyLog struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu    sync.Mutex
	asked map[string]map[string]string
}

func startPolicyLog(t *testing.T) *policyLog {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &policyLog{listener: l, asked: map[string]map[string]string{}}
	t.Cleanup(func() { // after Postfix, which keeps its connections until it ends
		_ = l.Close()
		p.serving.Wait()
	})
	p.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.serving.Go(func() { p.serve(conn) })
		}
	})
	return p
}

// serve answers requests until Postfix hangs up.
func (p *policyLog) serve(conn net.Conn) {
	defer conn.Close()
	request := map[string]string{}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok {
			request[name] = value
			continue
		}
		p.mu.Lock()
		p.asked[request["recipient"]] = request
		p.mu.Unlock()
		request = map[string]string{}
		if _, err := fmt.Fprint(conn, "action=DUNNO\n\n"); err != nil {
			return
		}
	}
}

// Thirteen clients that differ in everything follow one another in one session: a policy server, a milter, the log and
// the Received field show of each what was presented of it, and nothing of another.
func TestPostfixAttributesDoNotLeak(t *testing.T) {
	policy, milter := startPolicyLog(t), startMilterLog(t)
	const macros = "{client_addr} {client_name} {client_ptr} {client_port} {client_resolve} {auth_authen}"
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: []injecttest.Listener{
		{Name: "asked", Options: []string{"smtpd_authorized_xclient_hosts=static:all",
			"smtpd_recipient_restrictions=check_policy_service,inet:" + policy.listener.Addr().String() + ",reject_unauth_destination",
			"smtpd_milters=inet:" + milter.listener.Addr().String(), "milter_connect_macros=" + macros, "milter_mail_macros=" + macros}},
	}})

	addr := netip.MustParseAddr
	clients := []inject.Client{
		{Addr: addr("198.51.100.1"), Name: "n1.example.net", HELO: "h1.example.net", Port: 1001, ESMTP: true},
		{Addr: addr("192.0.0.8"), ESMTP: true},
		{Addr: addr("2001:db8::3"), Name: "n3.example.net", HELO: "h3.example.net", Port: 1003, ESMTP: true},
		{Addr: addr("198.18.0.8"), ESMTP: true},
		{Addr: addr("198.51.100.5"), NameTemporary: true, HELO: "h5.example.net", ESMTP: true},
		{Addr: addr("198.51.100.6"), ReverseName: "r6.example.net", ESMTP: true},
		{Addr: addr("198.51.100.7"), Port: 1007, ESMTP: true},
		{Addr: addr("198.51.100.8"), Name: "n8.example.net", ESMTP: true, DestAddr: addr("198.51.100.200"), DestPort: 25},
		{Addr: addr("2001:db8::9"), ESMTP: true},
		{Addr: addr("198.51.100.10"), HELO: "h10.example.net"},
		{ESMTP: true},
		{Addr: addr("198.51.100.12"), Name: "n12.example.net", HELO: "h12 with <odd> words", Port: 1012, ESMTP: true},
		{Addr: addr("198.51.100.13"), ESMTP: true},
	}
	var messages []*inject.Message
	for i, c := range clients {
		m := message(i)
		m.Client, m.To = c, []string{fmt.Sprintf("to%d@example.org", i)}
		messages = append(messages, m)
	}
	var dialed atomic.Int32
	dial := func(ctx context.Context) (net.Conn, error) {
		dialed.Add(1)
		return p.Dialer("asked")(ctx)
	}
	receipts := injectAll(t, dial, inject.Options{Connections: 1}, messages...)
	mail, log := "\n"+strings.Join(p.Mail(), "\n"), p.Log()
	if got := dialed.Load(); got != 1 {
		t.Errorf("%d sessions, want one", got)
	}
	for i, r := range receipts {
		if r.Outcome != inject.Delivered {
			t.Fatalf("message %d: %+v, err %v", i, r, r.Err)
		}
		want, received := shown(r.Presented)
		policy.mu.Lock()
		got := policy.asked[messages[i].To[0]]
		policy.mu.Unlock()
		for name, value := range want {
			if got[name] != value {
				t.Errorf("message %d: the policy server's %s is %q, want %q", i, name, got[name], value)
			}
		}
		milter.mu.Lock()
		events := milter.told[messages[i].To[0]]
		milter.mu.Unlock()
		if want := heard(r.Presented, messages[i].From, messages[i].To[0]); !reflect.DeepEqual(events, want) {
			t.Errorf("message %d: a milter is told\n%+v, want\n%+v", i, events, want)
		}
		if line := fmt.Sprintf("%s: client=%s[%s]", r.QueueID, want["client_name"], want["client_address"]); !strings.Contains(log, line) {
			t.Errorf("message %d: no %q in the log", i, line)
		}
		if _, field, _ := strings.Cut(mail, "\nReturn-Path: <"+messages[i].From+">"); !strings.Contains(strings.SplitN(field, " id ", 2)[0], received) {
			t.Errorf("message %d: its Received field lacks %q:\n%.500s", i, received, field)
		}
	}
}

// shown returns what Postfix's policy requests say of a client, all of it, and how its Received field begins.
func shown(c inject.Client) (request map[string]string, received string) {
	const unknown = "unknown"
	c.HELO = strings.NewReplacer(" ", "?", "<", "?", ">", "?").Replace(c.HELO) // as Postfix shows them
	request = map[string]string{"client_address": unknown, "client_port": unknown, "helo_name": c.HELO, "protocol_name": "ESMTP",
		"client_name": cmp.Or(c.Name, unknown), "reverse_client_name": cmp.Or(c.Name, c.ReverseName, unknown), "sasl_username": "",
		"server_address": unknown, "server_port": unknown}
	addr := unknown
	if c.Addr.IsValid() {
		request["client_address"], addr = c.Addr.String(), c.Addr.String()
	}
	if c.Addr.Is6() {
		addr = "IPv6:" + addr
	}
	if c.Port != 0 {
		request["client_port"] = strconv.Itoa(int(c.Port))
	}
	if c.DestAddr.IsValid() {
		request["server_address"], request["server_port"] = c.DestAddr.String(), strconv.Itoa(int(c.DestPort))
	}
	return request, fmt.Sprintf("Received: from %s (%s [%s])", c.HELO, request["client_name"], addr)
}

// heard returns the events that a milter of Postfix's is told of a client's message, all of them.
func heard(c inject.Client, from, to string) milterEvents {
	const unknown = "unknown"
	request, _ := shown(c)
	addr, family := request["client_address"], '4'
	name := cmp.Or(c.Name, "["+addr+"]") // libmilter's words
	resolved := "FAIL"
	switch {
	case c.Name != "":
		resolved = "OK"
	case c.NameTemporary:
		resolved = "TEMP"
	}
	macro := addr
	if c.Addr.Is6() {
		macro, family = "IPv6:"+addr, '6'
	}
	if !c.Addr.IsValid() {
		name = unknown
	}
	_, domain, _ := strings.Cut(to, "@")
	port := strconv.Itoa(int(c.Port))
	return milterEvents{
		connect: fmt.Sprintf("%s %c %s %s", name, family, addr, port), helo: strings.ReplaceAll(c.HELO, " ", "?"), from: "<" + from + ">",
		macros: map[string]string{"client_addr": macro, "client_name": request["client_name"], "client_ptr": request["reverse_client_name"],
			"client_port": port, "client_resolve": resolved, "rcpt_addr": to, "rcpt_host": domain, "rcpt_mailer": "virtual"}, // and no auth_authen
	}
}
