package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// person reads what login prints and opens the address in it in a browser.
type person struct {
	bytes.Buffer
	// visit gets the address once.
	visit func(address string)
}

func (p *person) Write(b []byte) (int, error) {
	n, err := p.Buffer.Write(b)
	if m := regexp.MustCompile(`http://\S+/authorize\?\S+\n`).FindString(p.String()); m != "" && p.visit != nil {
		go p.visit(strings.TrimSpace(m))
		p.visit = nil
	}
	return n, err
}

// TestLoginByBrowser: the browser comes back to the program, or the address that it ends at is pasted; the mailbox takes
// the token, and nothing that is shown holds it.
func TestLoginByBrowser(t *testing.T) {
	for _, headless := range []bool{false, true} {
		for _, goodUser := range []bool{true, false} {
			t.Run(fmt.Sprintf("headless %v, right user %v", headless, goodUser), func(t *testing.T) {
				a := &fakeserver.Authority{ClientID: "truehop-test"}
				site := httptest.NewServer(a)
				t.Cleanup(site.Close)
				a.URL = site.URL
				upstream := &fakeserver.IMAP{Store: fakeserver.NewStore(), User: "joe", Password: "p", ValidToken: a.Valid}
				config := loginConfig(t, fetchtest.Listen(t, upstream.Serve).Addr(), a, goodUser)
				pasted, address := io.Pipe()
				out, errs := &person{}, &bytes.Buffer{}
				visited := make(chan error, 1)
				out.visit = func(shown string) {
					last, err := follow(context.WithoutCancel(t.Context()), shown)
					if headless {
						_, err = io.WriteString(address, last+"\n")
					}
					visited <- err
				}
				args := []string{"login", "work", "--config", config}
				if headless {
					args = append(args, "--headless")
				}
				want := exitOK
				if !goodUser {
					want = exitCredentials
				}
				if code := run(args, pasted, out, errs); code != want {
					t.Errorf("exit code %d, want %d\n%s%s", code, want, out, errs)
				}
				if err := <-visited; err != nil {
					t.Errorf("the browser: %v", err)
				}
				text, err := os.ReadFile(filepath.Join(filepath.Dir(config), "state/tokens/work"))
				if err != nil {
					t.Fatal(err)
				}
				for _, secret := range regexp.MustCompile(`"(?:access|refresh)_token": "([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
					if strings.Contains(out.String()+errs.String(), secret[1]) {
						t.Error("a token is shown")
					}
				}
				if lines := strings.Count(out.String(), "\n"); lines > 24 {
					t.Errorf("%d lines are more than a screen:\n%s", lines, out)
				}
				done := strings.Contains(out.String(), "work: logged in") && strings.Contains(out.String(), "renewed by itself")
				hint := strings.Contains(errs.String(), "status 401") && strings.Contains(errs.String(), "run truehop login work, and log in there as accounts.work.user")
				if done != goodUser || hint == goodUser {
					t.Errorf("shown:\n%s%s", out, errs)
				}
			})
		}
	}
}

func loginConfig(t *testing.T, addr string, a *fakeserver.Authority, goodUser bool) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	user := "joe"
	if !goodUser {
		user = "somebody-else"
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "truehop.yaml")
	text := fmt.Sprintf("state_dir: %s/state\naccounts:\n  work:\n    host: %s\n    port: %s\n    tls: none\n    allow_plaintext: true\n    user: %s\n    recipients: [joe@example.org]\n"+
		"    oauth: {provider: other, client_id: %s, issuer: %q}\n", dir, host, port, user, a.ClientID, a.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}
