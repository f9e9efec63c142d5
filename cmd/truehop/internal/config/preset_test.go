package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/received"
)

// A provider stands for host, port and TLS where the account gives none of them, and for nothing that it gives.
func TestPreset(t *testing.T) {
	const rest = ", user: joe, password_file: /etc/truehop/pass, recipients: [joe@example.org]}}\n"
	for name, test := range map[string]struct {
		defaults, keys string
		addr           string
		tls            TLSMode
	}{
		"imap":                        {keys: "provider: gmail", addr: "imap.gmail.com:993"},
		"pop3":                        {keys: "provider: gmx, protocol: pop3", addr: "pop.gmx.net:995"},
		"port and TLS of its own":     {keys: "provider: proton", addr: "127.0.0.1:1143", tls: StartTLS},
		"the account's port":          {keys: "provider: proton, port: 2143", addr: "127.0.0.1:2143", tls: StartTLS},
		"the account's TLS":           {keys: "provider: proton, tls: implicit", addr: "127.0.0.1:993"},
		"the TLS of all accounts":     {defaults: "defaults: {tls: starttls}\n", keys: "provider: gmail", addr: "imap.gmail.com:143", tls: StartTLS},
		"the account's host":          {keys: "provider: proton, host: bridge.example.org", addr: "bridge.example.org:993"},
		"the host of all accounts":    {defaults: "defaults: {host: mail.example.org}\n", keys: "provider: gmail", addr: "mail.example.org:993"},
		"a provider without a preset": {keys: "provider: postfix, host: mail.example.org", addr: "mail.example.org:993"},
	} {
		c := mustParse(t, []byte(test.defaults+"accounts: {work: {"+test.keys+rest), options())
		if a := c.Accounts["work"]; a.Addr() != test.addr || a.TLS != test.tls {
			t.Errorf("%s: %s, TLS %s", name, a.Addr(), a.TLS)
		}
	}
	for keys, want := range map[string]string{
		"provider: icloud, protocol: pop3": "no host of icloud is known for pop3", "provider: postfix": "host: is missing; give", "provider: auto": "host: is missing; give",
	} {
		_, err := Parse("truehop.yaml", []byte("accounts: {work: {"+keys+rest), options())
		var bad *Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", keys, err)
		}
	}
}

// What a provider needs is known by its name, and by its host.
func TestNeeds(t *testing.T) {
	for keys, want := range map[string]string{
		"provider: outlook": "OAuth2", "provider: outlook, host: proxy.example.org": "OAuth2", "host: IMAP.gmail.com.": "app password",
		"host: imap.example.org": "", "host: 127.0.0.1": "", "host: imap.gmx.net, protocol: pop3": "",
	} {
		c := mustParse(t, fmt.Appendf(nil, "accounts: {work: {%s, user: joe, password_file: /etc/truehop/pass, recipients: [joe@example.org]}}\n", keys), options())
		words, page := c.Accounts["work"].Needs()
		if !strings.Contains(words, want) || (want == "") != (words == "") || (words == "") != (page == "") {
			t.Errorf("%s: %q, %q", keys, words, page)
		}
	}
}

// The table is of providers that have a profile, each once, with hosts and pages that are some.
func TestPresetTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range presets() {
		if !slices.Contains(received.Profiles(), p.provider) || seen[p.provider] {
			t.Errorf("%s has no profile, or stands there twice", p.provider)
		}
		seen[p.provider] = true
		if !hostName(p.imap) || (p.pop3 != "" && !hostName(p.pop3)) || p.needs == "" {
			t.Errorf("%+v", p)
		}
		if u, err := url.Parse(p.page); p.page != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
			t.Errorf("%s: page %q", p.provider, p.page)
		}
	}
}
