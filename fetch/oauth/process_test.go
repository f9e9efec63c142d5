package oauth_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/oauth"
)

// childVariable has this test binary be another process, which prints the token of the options that it names.
const childVariable = "TRUEHOP_TEST_OAUTH_CHILD"

func TestMain(m *testing.M) {
	given, ok := os.LookupEnv(childVariable)
	if !ok {
		os.Exit(m.Run())
	}
	url, file, _ := strings.Cut(given, " ")
	o := oauth.Options{Account: "work", Provider: oauth.Other, ClientID: "truehop-test", TokenURL: url + "/token", TokenFile: file}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // so that all begin at once
	token, err := oauth.New(o).Renew(context.Background(), os.Getenv(childVariable+"_REFUSED"))
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(token)
	os.Exit(0)
}

// child is another process that asks for a token.
type child struct {
	cmd *exec.Cmd
	in  *os.File
	out *bufio.Reader
	// wait waits for its end.
	wait func() error
}

func startChild(t *testing.T, o oauth.Options, url, refused string) *child {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	c := &child{cmd: exec.Command(os.Args[0]), in: w}
	c.cmd.Env = append(os.Environ(), childVariable+"="+url+" "+o.TokenFile, childVariable+"_REFUSED="+refused)
	c.cmd.Stdin, c.cmd.Stderr = r, os.Stderr
	out, err := c.cmd.StdoutPipe()
	must(t, err)
	c.out = bufio.NewReader(out)
	must(t, c.cmd.Start())
	c.wait = sync.OnceValue(c.cmd.Wait)
	must(t, r.Close())
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		_ = w.Close()
	})
	if line, err := c.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	return c
}

// begin lets the child go on.
func (c *child) begin(t *testing.T) {
	t.Helper()
	_, err := c.in.WriteString("go\n")
	must(t, err)
}

// token returns what the child prints, when it has ended.
func (c *child) token() (string, error) {
	line, err := c.out.ReadString('\n')
	if err != nil {
		return "", c.wait()
	}
	return strings.TrimSpace(line), c.wait()
}

// authorityAt serves an authority on this host, and logs an account in.
func authorityAt(t *testing.T) (*fakeserver.Authority, oauth.Options, string) {
	t.Helper()
	a := &fakeserver.Authority{ClientID: "truehop-test", Rotate: true}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	o := options(t, a)
	a.URL = server.URL
	o.AuthURL, o.TokenURL, o.DeviceURL = server.URL+"/authorize", server.URL+"/token", server.URL+"/devicecode"
	s := loggedIn(t, o)
	o.Transport = nil
	return a, o, get(t, s)
}

// TestProcessesRenewAtOnce: cron and serve at the same moment. One renews, and both have its token.
func TestProcessesRenewAtOnce(t *testing.T) {
	a, o, old := authorityAt(t)
	children := make([]*child, 3)
	for i := range children {
		children[i] = startChild(t, o, a.URL, old)
	}
	for _, c := range children {
		c.begin(t)
	}
	tokens := map[string]bool{}
	for _, c := range children {
		token, err := c.token()
		if err != nil {
			t.Errorf("%v: %s", err, token)
		}
		tokens[token] = true
	}
	if len(tokens) != 1 || refreshes(a) != 1 || tokens[old] {
		t.Errorf("%d tokens, renewed %d times", len(tokens), refreshes(a))
	}
}

// TestKilledWhileRenewing: a process that is killed when the authority has replaced the refresh token, and before it could know,
// leaves a whole file and no lock. Whether a person has to log in again is up to the authority.
func TestKilledWhileRenewing(t *testing.T) {
	for _, grace := range []bool{true, false} {
		t.Run(fmt.Sprintf("grace %v", grace), func(t *testing.T) {
			a, o, old := authorityAt(t)
			a.Grace = grace
			before := stored(t, o.TokenFile)
			c := startChild(t, o, a.URL, old)
			a.Issued = func() {
				must(t, c.cmd.Process.Signal(syscall.SIGKILL))
				_ = c.wait() // it says that the process was killed
			}
			c.begin(t)
			if token, err := c.token(); err == nil {
				t.Fatalf("the child went on and got %s", token)
			}
			if refreshes(a) != 1 {
				t.Fatalf("renewed %d times", refreshes(a))
			}
			if after := stored(t, o.TokenFile); after["refresh_token"] != before["refresh_token"] || after["access_token"] != old {
				t.Error("the file changed")
			}
			a.Issued = nil
			token, err := oauth.New(o).Renew(t.Context(), old)
			if grace {
				if err != nil || token == old || !a.Valid(token) {
					t.Errorf("the next process gets %v", err)
				}
				return
			}
			wantError(t, err, fetch.Auth, "invalid_grant", "run truehop login work")
		})
	}
}
