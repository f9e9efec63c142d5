package received

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChains reads testdata/chains/NAME.eml under the policy that NAME.want
// names, and compares each value that NAME.want gives. There is one chain at
// least for each built-in provider, in that provider's shape.
func TestChains(t *testing.T) {
	files, err := filepath.Glob("testdata/chains/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".eml")
		want := readWant(t, strings.TrimSuffix(file, ".eml")+".want")
		seen[want["policy"]] = true
		t.Run(name, func(t *testing.T) {
			header, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, ok := Profile(want["policy"])
			if !ok {
				t.Fatalf("no policy %q", want["policy"])
			}
			chain := ReadChain(header)
			b := chain.Boundary(p)
			got := gotten(b)
			for k, v := range want {
				if k != "policy" && got[k] != v {
					t.Errorf("%s is %q, want %q (%s)", k, got[k], v, b.Why)
				}
			}
			if b.Why == "" {
				t.Error("no reason is given")
			}
			mustBeSafe(t, chain, b)
		})
	}
	for _, p := range Profiles() {
		if !seen[p] && p != "generic" {
			t.Errorf("provider %s has no fixture", p)
		}
	}
}

// readWant reads "key value" lines.
func readWant(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if k, v, _ := strings.Cut(strings.TrimSpace(line), " "); k != "" && k != "#" {
			want[k] = v
		}
	}
	for _, k := range []string{"policy", "outcome", "hop"} {
		if want[k] == "" {
			t.Fatalf("%s does not give %s", file, k)
		}
	}
	return want
}

// gotten is a boundary as the .want files write it.
func gotten(b Boundary) map[string]string {
	m := map[string]string{
		"provider":      b.Provider,
		"outcome":       string(b.Outcome),
		"hop":           fmt.Sprint(b.Hop),
		"helo":          b.Client.HELO,
		"name":          b.Client.Name,
		"port":          fmt.Sprint(b.Client.Port),
		"confirmed":     fmt.Sprint(b.Confirmed),
		"esmtp":         fmt.Sprint(b.ESMTP),
		"authenticated": fmt.Sprint(b.Authenticated),
		"sender":        b.Sender,
		"recipient":     b.Recipient,
	}
	if b.Found {
		m["addr"] = b.Client.Addr.String()
	}
	if b.Submission != nil {
		m["submission"] = b.Submission.HELO
	}
	return m
}

// mustBeSafe checks what holds for every boundary, whatever the message.
func mustBeSafe(t *testing.T, c *Chain, b Boundary) {
	t.Helper()
	if b.Found != (b.Hop >= 0) {
		t.Fatalf("found is %v and the hop %d", b.Found, b.Hop)
	}
	if !b.Found {
		if b.Client != (Client{}) {
			t.Fatalf("no answer, but a client: %+v", b.Client)
		}
		return
	}
	h := c.Hops[b.Hop]
	switch {
	case !Public(b.Client.Addr):
		t.Fatalf("the client's address %s is not public", b.Client.Addr)
	case b.Client.Addr != h.Addr || h.AddrUncertain:
		t.Fatalf("the client's address %s is not what %s saw", b.Client.Addr, h.By)
	case b.Client.Name != "" && !h.NameVerified:
		t.Fatalf("the name %q is not verified", b.Client.Name)
	case b.Trusted != b.Hop+1:
		t.Fatalf("%d fields trusted, but the boundary is at %d", b.Trusted, b.Hop)
	}
	for i, h := range c.Hops[:b.Hop+1] {
		if h.Err != nil {
			t.Fatalf("field %d inside the trusted run cannot be trusted: %v", i, h.Err)
		}
	}
}
