package inject

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// What may carry rights at the MTA is never presented.
func TestForbidden(t *testing.T) {
	never := []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("2001:db8:7::/48")}
	for _, a := range []string{
		"127.0.0.1", "127.255.255.255", "::1", "0.0.0.0", "0.1.2.3", "::", "10.0.0.1", "172.16.0.1", "172.31.255.255",
		"192.168.1.1", "100.64.0.1", "100.127.255.255", "169.254.1.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fdff::1",
		"fec0::1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
		"2002:7f00:1::", "2002:c0a8:101::1", "::ffff:0:127.0.0.1", "224.0.0.1", "239.1.2.3", "ff02::1",
		"255.255.255.255", "240.0.0.1", "203.0.113.7", "::ffff:203.0.113.7", "64:ff9b::203.0.113.7", "2001:db8:7::1",
		"2001:db8::1%2",
	} {
		full := Client{Addr: addr(a), Name: "mail.example.net", ReverseName: "mail.example.net", HELO: "h.example.net", Port: 25, ESMTP: true,
			DestAddr: addr("192.0.2.1"), DestPort: 25}
		got, why := full.Safe(never)
		if got != (Client{ESMTP: true}) || why == "" {
			t.Errorf("%s is presented: %+v (%q)", a, got, why)
		}
		for _, line := range got.Commands(AllAttributes()) {
			if strings.Contains(line, a) || strings.Contains(line, "example") {
				t.Errorf("%s shows in %q", a, line)
			}
		}
	}
	// What nobody trusts is presented as it is, the ranges for documentation too.
	for _, a := range []string{"192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "198.18.0.1", "8.8.8.8", "100.63.255.255",
		"100.128.0.0", "172.15.0.1", "172.32.0.1", "2002:c000:201::1", "64:ff9b::192.0.2.1", "1.0.0.1", "223.255.255.255"} {
		if got, why := (Client{Addr: addr(a)}).Safe(never); got.Addr != addr(a) || why != "" {
			t.Errorf("%s is not presented: %q", a, why)
		}
	}
}

// What a name or a HELO may not be is left out and explained; what is safe stays as it is.
func TestSafe(t *testing.T) {
	a := addr("192.0.2.1")
	long := strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 63)
	for _, c := range []struct {
		name      string
		in, want  Client
		explained bool
	}{
		{"no address", Client{Name: "mail.example.net", ReverseName: "mail.example.net", HELO: "h"}, Client{}, true},
		{"nothing known", Client{ESMTP: true}, Client{ESMTP: true}, false},
		{"verified name is the reverse name", Client{Addr: a, Name: "a.example.net"}, Client{Addr: a, Name: "a.example.net", ReverseName: "a.example.net"}, false},
		{"and no other", Client{Addr: a, Name: "a.example.net", ReverseName: "b.example.net"}, Client{Addr: a, Name: "a.example.net", ReverseName: "a.example.net"}, false},
		{"a name is not temporarily unknown", Client{Addr: a, Name: "a.example.net", NameTemporary: true}, Client{Addr: a, Name: "a.example.net", ReverseName: "a.example.net"}, false},
		{"a name that says unknown", Client{Addr: a, Name: "unknown", ReverseName: "Unknown"}, Client{Addr: a}, true},
		{"localhost", Client{Addr: a, Name: "localhost", ReverseName: "x.localhost"}, Client{Addr: a}, true},
		{"name with a trailing dot", Client{Addr: a, Name: "a.example.net."}, Client{Addr: a, Name: "a.example.net", ReverseName: "a.example.net"}, false},
		{"name with a leading hyphen", Client{Addr: a, Name: "-a.example.net"}, Client{Addr: a}, true},
		{"name with a trailing hyphen", Client{Addr: a, Name: "a-.example.net"}, Client{Addr: a}, true},
		{"name with a label of 64", Client{Addr: a, Name: strings.Repeat("a", 64) + ".net"}, Client{Addr: a}, true},
		{"name with a label of 63", Client{Addr: a, ReverseName: strings.Repeat("a", 63) + ".net"}, Client{Addr: a, ReverseName: strings.Repeat("a", 63) + ".net"}, false},
		{"numeric name", Client{Addr: a, Name: "12345"}, Client{Addr: a}, true},
		{"address as name", Client{Addr: a, Name: "192.0.2.1"}, Client{Addr: a}, true},
		{"address literal as name", Client{Addr: a, Name: "[192.0.2.1]"}, Client{Addr: a}, true},
		{"star as name", Client{Addr: a, Name: "*"}, Client{Addr: a}, true},
		{"dot as name", Client{Addr: a, Name: "."}, Client{Addr: a}, true},
		{"name with an empty label", Client{Addr: a, Name: "a..example.net"}, Client{Addr: a}, true},
		{"UTF-8 in a name", Client{Addr: a, Name: "ä.example.net"}, Client{Addr: a}, true},
		{"A-label", Client{Addr: a, ReverseName: "xn--4ca.example.net"}, Client{Addr: a, ReverseName: "xn--4ca.example.net"}, false},
		{"underscore", Client{Addr: a, ReverseName: "a_b.example.net"}, Client{Addr: a, ReverseName: "a_b.example.net"}, false},
		{"name of 255", Client{Addr: a, ReverseName: long}, Client{Addr: a, ReverseName: long}, false},
		{"name of 256", Client{Addr: a, ReverseName: "a" + long[1:] + "e"}, Client{Addr: a}, true},
		{"HELO of 255", Client{Addr: a, HELO: strings.Repeat("h", 255)}, Client{Addr: a, HELO: strings.Repeat("h", 255)}, false},
		{"HELO of 256", Client{Addr: a, HELO: strings.Repeat("h", 256)}, Client{Addr: a}, true},
		{"HELO of 256 when encoded", Client{Addr: a, HELO: strings.Repeat("h", 253) + "+"}, Client{Addr: a}, true},
		{"mapped address", Client{Addr: addr("::ffff:192.0.2.1")}, Client{Addr: a}, false},
		{"destination of a zone", Client{Addr: a, DestAddr: addr("fe80::1%eth0")}, Client{Addr: a}, false},
		{"mapped destination", Client{Addr: a, DestAddr: addr("::ffff:192.0.2.2")}, Client{Addr: a, DestAddr: addr("192.0.2.2")}, false},
	} {
		got, why := c.in.Safe(nil)
		if got != c.want || (why != "") != c.explained {
			t.Errorf("%s: %+v (%q), want %+v", c.name, got, why, c.want)
		}
		if again, why := got.Safe(nil); again != got || why != "" {
			t.Errorf("%s: what is safe changes to %+v (%q)", c.name, again, why)
		}
	}
}

// Every attribute that is offered is said, with [UNAVAILABLE] for what is not known.
func TestCommands(t *testing.T) {
	full := Client{Addr: addr("2001:DB8::0:1"), Name: "mail.example.net", HELO: "h.example.net", ESMTP: true, Port: 4711,
		DestAddr: addr("192.0.2.25"), DestPort: 25}
	for _, c := range []struct {
		name    string
		client  Client
		offered []string
		want    string
	}{
		{"all", full, AllAttributes(), "XCLIENT HELO=h.example.net PROTO=ESMTP PORT=4711 LOGIN=[UNAVAILABLE] DESTADDR=192.0.2.25 DESTPORT=25 REVERSE_NAME=mail.example.net NAME=mail.example.net ADDR=IPV6:2001:db8::1"},
		{"nothing known", Client{}, AllAttributes(), "XCLIENT HELO=[UNAVAILABLE] PROTO=SMTP PORT=[UNAVAILABLE] LOGIN=[UNAVAILABLE] DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE] NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE]"},
		{"only what is offered", full, []string{"NAME", "ADDR"}, "XCLIENT NAME=mail.example.net ADDR=IPV6:2001:db8::1"},
		{"unknown attributes", full, []string{"addr", "FUTURE", "name"}, "XCLIENT NAME=mail.example.net ADDR=IPV6:2001:db8::1"},
		{"no name known", Client{Addr: addr("192.0.2.1")}, []string{"NAME", "ADDR", "REVERSE_NAME"}, "XCLIENT REVERSE_NAME=[UNAVAILABLE] NAME=[UNAVAILABLE] ADDR=192.0.2.1"},
		{"name temporarily unknown", Client{Addr: addr("192.0.2.1"), NameTemporary: true}, []string{"NAME", "ADDR", "REVERSE_NAME"}, "XCLIENT REVERSE_NAME=[TEMPUNAVAIL] NAME=[TEMPUNAVAIL] ADDR=192.0.2.1"},
		{"name temporarily unknown, reverse name known", Client{Addr: addr("192.0.2.1"), NameTemporary: true, ReverseName: "r.example.net"}, []string{"NAME", "ADDR", "REVERSE_NAME"}, "XCLIENT REVERSE_NAME=r.example.net NAME=[TEMPUNAVAIL] ADDR=192.0.2.1"},
		{"a name that says unknown", Client{Addr: addr("192.0.2.1"), Name: "unknown"}, []string{"NAME", "ADDR"}, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1"},
		{"never a login", full, []string{"LOGIN"}, "XCLIENT LOGIN=[UNAVAILABLE]"},
		{"SMTP unless ESMTP was seen", Client{}, []string{"PROTO"}, "XCLIENT PROTO=SMTP"},
		{"address literal as HELO", Client{HELO: "[192.0.2.1]"}, []string{"HELO"}, "XCLIENT HELO=[192.0.2.1]"},
		{"nothing offered", full, nil, ""},
	} {
		if got := strings.Join(c.client.Commands(c.offered), "|"); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

// No command is longer than 512 octets with its CRLF, HELO and PROTO
// go first, NAME and ADDR together last.
func TestSplit(t *testing.T) {
	name := strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 63)
	for helo := range 256 {
		for _, nameLen := range []int{0, 64, 128, 192, 255} {
			c := Client{Addr: addr("2001:db8:1111:2222:3333:4444:5555:6666"), Name: strings.TrimSuffix(name[:nameLen], "."), HELO: strings.Repeat("h", helo), Port: 65535,
				DestAddr: addr("2001:db8:1111:2222:3333:4444:5555:7777"), DestPort: 65535}
			lines := c.Commands(AllAttributes())
			var seen []string
			for _, l := range lines {
				if len(l)+2 > 512 {
					t.Errorf("%d octets: %q", len(l)+2, l)
				}
				verb, rest, _ := strings.Cut(l, " ")
				if verb != "XCLIENT" || rest == "" {
					t.Errorf("bad line %q", l)
				}
				for _, pair := range strings.Fields(rest) {
					attribute, _, _ := strings.Cut(pair, "=")
					seen = append(seen, attribute)
				}
			}
			if !slices.Equal(seen, AllAttributes()) {
				t.Errorf("attributes %v", seen)
			}
			if last := lines[len(lines)-1]; !strings.Contains(last, " NAME=") || !strings.Contains(last, " ADDR=") {
				t.Errorf("NAME and ADDR are not together at the end: %q", lines)
			}
		}
	}
}

// What would end a value or a command is encoded, and what looks encoded already is encoded again.
func TestXtext(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain.example.net":        "plain.example.net",
		"x+0D+0ARSET":              "x+2B0D+2B0ARSET",
		"a\r\nRCPT TO:<x>":         "a+0D+0ARCPT+20TO:<x>",
		"a b\tc":                   "a+20b+09c",
		"a=b":                      "a+3Db",
		"\x1b[31m\x7f\x80\xff":     "+1B[31m+7F+80+FF",
		"nul\x00end":               "nul?end",
		"[UNAVAILABLE]":            "[UNAVAILABLE]",
		"(comment) <x> \"quoted\"": "(comment)+20<x>+20\"quoted\"",
	} {
		if got := xtext(in); got != want {
			t.Errorf("xtext(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzXtext(f *testing.F) {
	for _, s := range []string{"", "a", "+", "=", "+41", "a b", "\r\n", "\x00", "ä", strings.Repeat("+", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x := xtext(s)
		for i := 0; i < len(x); i++ {
			if x[i] <= ' ' || x[i] >= 0x7f || x[i] == '=' {
				t.Fatalf("xtext(%q) = %q holds %#x", s, x, x[i])
			}
		}
		// xtext is the URL's percent-encoding with another sign.
		back, err := url.PathUnescape(strings.ReplaceAll(strings.ReplaceAll(x, "%", "%25"), "+", "%"))
		if err != nil || back != strings.ReplaceAll(s, "\x00", "?") {
			t.Fatalf("xtext(%q) = %q decodes to %q, %v", s, x, back, err)
		}
	})
}

// A HELO that no command can carry is said as near to it as possible, or not at all.
func TestSayHELO(t *testing.T) {
	for _, c := range []struct {
		in, want string
		same     bool
	}{
		{"mail.example.net", "mail.example.net", true},
		{"[192.0.2.1]", "[192.0.2.1]", true},
		{"foo_bar", "foo_bar", true},
		{" padded ", "padded", true},
		{"two words", "two?words", false},
		{"a\r\nRSET", "a??RSET", false},
		{"nul\x00", "nul?", false},
		{"m\xc3\xbcller", "m??ller", false},
		{"\x1b[2J", "?[2J", false},
		{"", "", false},
		{"   ", "", false},
		{"\x00\x01", "", false},
		{strings.Repeat("h", 255), strings.Repeat("h", 255), true},
		{strings.Repeat("h", 256), "", false},
	} {
		if got, same := sayHELO(c.in); got != c.want || same != c.same {
			t.Errorf("sayHELO(%q) = %q, %v; want %q, %v", c.in, got, same, c.want, c.same)
		}
	}
}

// FuzzClient: whatever a client is made of, its commands are lines of printable ASCII that
// set each attribute once, and claim no address that must not be claimed.
func FuzzClient(f *testing.F) {
	f.Add("a.example.net", "b.example.net", "h", []byte{192, 0, 2, 1}, true)
	f.Add("unknown", "", "a\r\nb", []byte{127, 0, 0, 1}, false)
	f.Add("", "", strings.Repeat("\xff", 200), addr("::ffff:10.0.0.1").AsSlice(), true)
	f.Fuzz(func(t *testing.T, name, reverse, helo string, raw []byte, temporary bool) {
		a, _ := netip.AddrFromSlice(raw)
		c, _ := Client{Addr: a, Name: name, ReverseName: reverse, HELO: helo, NameTemporary: temporary}.Safe(nil)
		var seen []string
		for _, line := range c.Commands(AllAttributes()) {
			if len(line) > maxCommand || !plain(line) {
				t.Fatalf("bad line %q", line)
			}
			for _, pair := range strings.Fields(line)[1:] {
				attribute, value, _ := strings.Cut(pair, "=")
				seen = append(seen, attribute)
				if value == "" || len(value) > maxValue {
					t.Fatalf("bad value in %q", line)
				}
			}
		}
		if !slices.Equal(seen, AllAttributes()) {
			t.Fatalf("attributes %v", seen)
		}
		if c.Addr.IsValid() && forbidden(c.Addr, nil) != "" {
			t.Fatalf("presents %v", c.Addr)
		}
		if say, _ := sayHELO(c.HELO); !plain(say) || strings.Contains(say, " ") {
			t.Fatalf("says %q", say)
		}
	})
}
