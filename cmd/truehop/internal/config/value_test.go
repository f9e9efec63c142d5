package config

import (
	"bytes"
	"encoding"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1B": 1, "1KB": 1000, "1kB": 1000, "1KiB": 1024, "50MiB": 50 << 20, "50 MiB": 50 << 20, "3GB": 3e9, "2GiB": 2 << 30, "1TiB": 1 << 40, "7TB": 7e12,
		"": -1, "50": -1, "50M": -1, "MiB": -1, "-1KiB": -1, "+1KiB": -1, "1.5MiB": -1, "0x10B": -1, "9000000TiB": -1, "50mib": -1, "1MiBx": -1, "1_000B": -1,
	} {
		s := Size(-1)
		err := s.UnmarshalText([]byte(text))
		if err != nil {
			s = -1
		}
		if s != want {
			t.Errorf("%q: %d, %v; want %d", text, s, err, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "100ms": 100 * time.Millisecond, "30s": 30 * time.Second, "1h30m": 90 * time.Minute, "5d": 120 * time.Hour, "1d12h": 36 * time.Hour, "0s": 0,
		"": -1, "30": -1, "-5m": -1, "5": -1, "1.5h": -1, "5 m": -1, "m": -1, "5x": -1, "5w": -1, "5mm": -1, "200000d": -1, "106751d": 106751 * 24 * time.Hour, "106751d24h": -1, "5m3": -1,
	} {
		d, err := ParseDuration(text)
		if err != nil {
			d = -1
		}
		if d != want {
			t.Errorf("%q: %v, %v; want %v", text, d, err, want)
		}
	}
}

// What is read prints in the form it was read in.
func TestTextRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		into interface {
			encoding.TextUnmarshaler
			String() string
		}
		good, bad []string
	}{
		{new(Endpoint), []string{"unix:/var/spool/postfix/public/truehop", "localhost:25", "[::1]:2525", "192.0.2.1:10025", "mx.example.org:24"},
			[]string{"", "unix:", "unix:run/x", "/run/x", "localhost", "localhost:", "localhost:smtp", ":25", "mx example:25", "mx:0", "mx:65536", "unix:/" + strings.Repeat("x", 107)}},
		{new(Size), []string{"0", "1B", "1001B", "3KB", "1KiB", "64MiB", "5GB", "1TiB"}, nil},
	} {
		for _, s := range tc.good {
			if err := tc.into.UnmarshalText([]byte(s)); err != nil || tc.into.String() != s {
				t.Errorf("%T %q: %q, %v", tc.into, s, tc.into, err)
			}
		}
		for _, s := range tc.bad {
			if err := tc.into.UnmarshalText([]byte(s)); err == nil {
				t.Errorf("%T accepted %q as %q", tc.into, s, tc.into)
			}
		}
	}
}

func TestLoopback(t *testing.T) {
	for s, want := range map[string]bool{
		"localhost:25": true, "LOCALHOST.:25": true, "127.0.0.1:25": true, "127.9.9.9:25": true, "[::1]:25": true, "[::ffff:127.0.0.1]:25": true,
		"192.0.2.1:25": false, "localhost.example.org:25": false, "unix:/run/localhost": false,
	} {
		var e Endpoint
		if err := e.UnmarshalText([]byte(s)); err != nil || e.Loopback() != want {
			t.Errorf("%s: loopback %v, %v; want %v", s, e.Loopback(), err, want)
		}
	}
}

func TestHello(t *testing.T) {
	for s, want := range map[string]bool{
		"mx.example.org": true, "[192.0.2.1]": true, "[IPv6:2001:db8::1]": true, "host": true,
		"192.0.2.1": false, "[192.0.2.1": false, "[x]": false, "a b": false, "a\r\nb": false, "": false, "-a": false, "mx..org": false,
	} {
		if heloName(s) != want {
			t.Errorf("heloName(%q) = %v", s, !want)
		}
	}
}

func TestPattern(t *testing.T) {
	for s, want := range map[string]bool{
		"mx.example.net": true, ".example.net": true, "*.example.net": true, "mx*.example.net": true, "10.*": true, "2002:*": true, "x:*": false, "192.0.2.1": true, "2001:db8::/32": true, "2001:db8::1": true,
		"": false, "*": false, "mx example": false, "mx..net": false, "(": false, "mx\n": false, "-a.net": false, "[a-z].net": false,
	} {
		if pattern(s) != want {
			t.Errorf("pattern(%q) = %v", s, !want)
		}
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"host", "port", "folders", "user", "recipients", "on_delivered", "tls"}
	for name, want := range map[string]string{
		"hots": "host", "Host": "host", "prot": "port", "folder": "folders", "username": "user", "on-delivered": "on_delivered",
		"on_deliverd": "on_delivered", "recipient": "recipients", "ssl": "tls", "server": "host", "xyz": "", "subject": "", strings.Repeat("x", 100): "",
	} {
		if got := nearest(name, keys); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

// Any file is either a configuration that holds together or an *Error whose every line names
// the file; never a panic, never something else.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	more, _ := filepath.Glob("../../../../examples/*.yaml")
	for _, file := range append(files, more...) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "TRUEHOP_PASSES=3")
	}
	f.Add(one(""), "TRUEHOP_ACCOUNTS__WORK__PORT=1")
	f.Add(one(", <<: {a: b}"), "TRUEHOP_INJECT__NEVER_PRESENT=192.0.2.0/24")
	f.Fuzz(func(t *testing.T, data []byte, variable string) {
		c, err := Parse("f.yaml", data, options(variable))
		var bad *Error
		switch {
		case err != nil && !errors.As(err, &bad):
			t.Fatalf("not an *Error: %v", err)
		case err != nil:
			checkProblems(t, bad)
			return
		}
		for name, a := range c.Accounts {
			proofs := a.sources()
			if len(a.TokenCommand) > 0 {
				proofs = append(proofs, "token_command")
			}
			if a.OAuth.Provider != "" && a.OAuth.ClientID != "" && a.OAuth.TokenFile != "" {
				proofs = append(proofs, "oauth")
			}
			if a.Name != name || !goodName(name) || a.Host == "" || a.User == "" || len(proofs) != 1 || len(a.Folders) == 0 ||
				(len(a.Recipients) == 0) != (a.RecipientFrom != "" && len(a.RecipientDomains) > 0) || a.Port < 1 || a.RetryMin <= 0 || a.TLS == NoTLS && !a.AllowPlaintext {
				t.Fatalf("accepted %+v from\n%s", *a, data)
			}
			for _, s := range append([]string{a.Host, a.User, a.Sender, a.InlinePassword.Reveal()}, append(a.Recipients, a.Folders...)...) {
				if strings.ContainsAny(s, "\r\n\x00") {
					t.Fatalf("accepted a line break: %q", s)
				}
			}
		}
	})
}

func checkProblems(t *testing.T, e *Error) {
	if len(e.Problems) == 0 {
		t.Fatal("an error without a problem")
	}
	for _, p := range e.Problems {
		line := p.String()
		if p.Text == "" || !strings.HasPrefix(line, "f.yaml") && !strings.HasPrefix(line, "environment ") {
			t.Fatalf("problem %q", line)
		}
		if bytes.ContainsAny([]byte(line), "\r\n\x00\x1b") {
			t.Fatalf("control characters in %q", line)
		}
	}
}
