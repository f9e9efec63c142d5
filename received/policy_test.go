package received

import (
	"slices"
	"strings"
	"testing"
)

func TestMatchHost(t *testing.T) {
	for _, tt := range []struct {
		pattern, host string
		want          bool
	}{
		{"mx.example.org", "mx.example.org", true},
		{"mx.example.org", "MX.Example.ORG.", true},
		{"mx.example.org", "amx.example.org", false},
		{"mx.google.com", "mx.google.com.evil.example", false},
		{"*.example.org", "mx.example.org", true},
		{"*.example.org", "a.b.example.org", true},
		{"*.example.org", "example.org", false},
		{"*.example.org", "evilexample.org", false},
		{".example.org", "mx.example.org", true},
		{".example.org", "example.org", false},
		{"mx*.example.org", "mx12.example.org", true},
		{"mx*.example.org", "mx.example.org", true},
		{"mx*.example.org", "mx1.evil.example.org", false},
		{"*mx*.example.org", "a-mx-1.example.org", true},
		{"*", "localhost", true},
		{"*", "mx.example.org", false},
		{"*.mail.*.yahoo.com", "mta1.mail.bf1.yahoo.com", true},
		{"*.mail.*.yahoo.com", "mta1.mail.yahoo.com", false},
		{"10.*", "10.253.233.86", true},
		{"10.*", "10.evil", false},
		{"10.*", "100.1.2.3", false},
		{"10", "10.1.2.3", false},
		{"*", "10.1.2.3", false},
		{"*.2.3", "10.1.2.3", false},
		{"2002:*", "2002:a05:6214:2a8b:b0:6c1:77d0:4e12", true},
		{"2002:*", "2001:db8::1", false},
		{"10.0.0.0/8", "10.1.2.3", true},
		{"10.0.0.0/8", "11.1.2.3", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.10", false},
		{"", "mx.example.org", false},
		{"mx.example.org", "", false},
		{"*.", "mx.example.org", false},
	} {
		if got := matchHost(tt.pattern, tt.host); got != tt.want {
			t.Errorf("matchHost(%q, %q) is %v", tt.pattern, tt.host, got)
		}
	}
}

// A pattern of stars must not take time that grows with a power of the name: one that
// tried all the ways would not end before the tests' own limit.
func TestMatchHostStars(t *testing.T) {
	pattern := strings.Repeat("*a", 100) + "*b"
	if matchHost(pattern, strings.Repeat("a", 10000)) {
		t.Error("it matches")
	}
}

func TestProfiles(t *testing.T) {
	names := Profiles()
	if !slices.IsSorted(names) || len(names) != len(slices.Compact(slices.Clone(names))) {
		t.Errorf("%v is not sorted", names)
	}
	for _, n := range names {
		p, ok := Profile(strings.ToUpper(n))
		if !ok || p.Provider != n {
			t.Errorf("Profile(%q) is %q, %v", n, p.Provider, ok)
		}
		if !slices.Contains(inferring[:], n) && len(p.MX) == 0 {
			t.Errorf("profile %s has no MX", n)
		}
	}
	if _, ok := Profile("nobody"); ok {
		t.Error("there is a profile nobody")
	}
}

// A caller may change the policy it was given.
func TestProfileIsACopy(t *testing.T) {
	p, _ := Profile("gmail")
	p.MX[0] = "mx.evil.example"
	if q, _ := Profile("gmail"); q.MX[0] == p.MX[0] {
		t.Error("a change of one policy shows in the next")
	}
}

func TestAutoByHost(t *testing.T) {
	for host, want := range map[string]string{
		"imap.gmail.com": "gmail", "POP.GMAIL.COM.": "gmail", "outlook.office365.com": "outlook", "imap.mail.yahoo.com": "yahoo",
		"imap.aol.com": "yahoo", "imap.fastmail.com": "fastmail", "imap.mail.me.com": "icloud", "imap.gmx.net": "gmx",
		"imap.web.de": "gmx", "imap.ionos.de": "ionos", "imap.zoho.eu": "zoho", "imap.yandex.ru": "yandex", "imap.mail.ru": "mail.ru",
		"ssl0.ovh.net": "ovh", "secureimap.t-online.de": "t-online", "imap.kpnmail.nl": "kpn",
		"mail.example.org": "auto", "gmail.com.example": "auto", "": "auto", "192.0.2.1": "auto",
	} {
		if p := Auto(host); p.Provider != want {
			t.Errorf("Auto(%q) is %q, want %q", host, p.Provider, want)
		}
	}
}

// TestProviderHosts are names of the providers' own hosts, and of others that look like them.
func TestProviderHosts(t *testing.T) {
	for _, tt := range []struct {
		provider, by string
		mx, inner    bool
	}{
		{"gmx", "mx-ha.gmx.net", true, false},
		{"gmx", "mx00.emig.gmx.net", true, false},
		{"gmx", "mx.emig.gmx.net.evil.example", false, false},
		{"ionos", "mx.kundenserver.de", true, false},
		{"ionos", "mx01.emig.kundenserver.de", true, false},
		{"ionos", "s17.kundenserver.de", false, false},
		{"fastmail", "phl-mx-05.messagingengine.com", true, false},
		{"fastmail", "slotpi12d1t03", false, true},
		{"fastmail", "sloti22d1t06", false, true},
		{"fastmail", "slot.example.org", false, false},
		{"t-online", "mailin25.aul.t-online.de", true, false},
		{"t-online", "ehead26a12.aul.t-online.de", false, true},
		{"t-online", "ehead37a13.mgt.mul.t-online.de", false, true},
		{"t-online", "ehead.dip.t-dialin.net", false, false},
		{"yandex", "mxfront1j.mail.yandex.net", true, true},
		{"icloud", "ms71021.mac.com", false, true},
	} {
		p, _ := Profile(tt.provider)
		if mx, inner := matchAny(p.MX, tt.by), matchAny(p.Internal, tt.by); mx != tt.mx || inner != tt.inner {
			t.Errorf("%s: %s is an MX %v, inner %v", tt.provider, tt.by, mx, inner)
		}
	}
}

// A store of Apple's on top says who the provider is.
func TestRecogniseStore(t *testing.T) {
	c := ReadChain([]byte("Received: from relay.me.com ([17.58.1.1]) by ms71021.mac.com (Oracle Communications Messaging Server 8.0) with ESMTP id 1" + date + lie))
	if pr := c.recognise(); pr == nil || pr.name != "icloud" {
		t.Errorf("%v", pr)
	}
}

func TestValidate(t *testing.T) {
	gmail, _ := Profile("gmail")
	gmail.Edge = true
	for _, tt := range []struct {
		name   string
		policy Policy
		valid  bool
	}{
		{"nothing", Policy{}, true},
		{"hosts and patterns", Policy{MX: []string{"mx*.example.org", ".mx.example.org", "10.*", "2002:*", "192.0.2.0/24"}, Internal: []string{"localhost"}, Edge: true}, true},
		{"gateways", Policy{Provider: "auto", Gateways: []string{"proofpoint", "*.filter.example", "2001:db8::/32"}}, true},
		{"a profile with edge", gmail, true},
		{"a blank", Policy{MX: []string{"mx example.org"}}, false},
		{"nothing in a list", Policy{MX: []string{""}}, false},
		{"a gateway with a slash", Policy{Gateways: []string{"192.0.2.0/99"}}, false},
		{"inner hosts without an MX", Policy{Internal: []string{"store.example.org"}}, false},
		{"edge without an MX", Policy{Provider: "auto", Edge: true}, false},
	} {
		if err := tt.policy.Validate(); (err == nil) != tt.valid {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
