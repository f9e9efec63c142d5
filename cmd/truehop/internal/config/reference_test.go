package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const fullFile = "../../../../examples/full.yaml"

// Every key has its paragraph, and the tags hold together with the types.
func TestReference(t *testing.T) {
	ref := Reference()
	if len(ref) < 60 {
		t.Errorf("only %d keys", len(ref))
	}
	for _, k := range ref {
		if len(k.Doc) < 10 || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: doc %q", k.Path, k.Doc)
		}
		if k.Type == "" || strings.Contains(k.Doc, "\n") {
			t.Errorf("%+v", k)
		}
		if verbs := strings.Split(k.Values, "|"); k.Values != "" && k.Default != "" && !slices.Contains(verbs, k.Default) {
			t.Errorf("%s: default %q is none of %q", k.Path, k.Default, verbs)
		}
	}
}

// sample is what examples/full.yaml shows for a key without a default, and for those with a more telling one.
// What begins with # stays commented out, because it excludes another key.
func sample(k Key) string {
	switch k.Path {
	case "state_dir":
		return "/var/lib/truehop"
	case "state":
		return "# postgres://truehop@db.example.net/truehop"
	case "state_password_file":
		return "# /etc/truehop/state.pass"
	case "state_password_command":
		return "# [/usr/bin/pass, show, truehop/state]"
	case "state_password_credential":
		return "# state.pass"
	case "spool_dir":
		return "/var/lib/truehop/spool"
	case "accounts_from":
		return "# postgres"
	case "accounts_key_file":
		return "# /etc/truehop/accounts.key"
	case "accounts_key_credential":
		return "# accounts.key"
	case "inject.plain":
		return "127.0.0.1:10026"
	case "inject.hello":
		return "mail.example.org"
	case "inject.tls_ca_file":
		return "# /etc/truehop/mta.pem"
	case "inject.tls_server_name":
		return "# mail.example.org"
	case "inject.user":
		return "# truehop"
	case "inject.password_file":
		return "# /etc/truehop/mta.pass"
	case "inject.password_command", "accounts.NAME.password_command":
		return "# [/usr/bin/pass, show, mail/work]"
	case "inject.password_credential", "accounts.NAME.password_credential":
		return "# work.pass"
	case "inject.password", "accounts.NAME.password":
		return `# "in a file of mode 0600 only"`
	case "inject.never_present":
		return `[192.0.2.0/24, "2001:db8::/48"]`
	case "trouble_mail":
		return "postmaster@example.org"
	case "metrics":
		return "127.0.0.1:9917"
	case "metrics_file":
		return "/var/lib/node_exporter/textfile/truehop.prom"
	case "resolver.server":
		return "127.0.0.1"
	case "accounts.NAME.host":
		return "imap.example.net"
	case "accounts.NAME.port":
		return "993"
	case "accounts.NAME.tls_ca_file":
		return "/etc/ssl/certs/ca-certificates.crt"
	case "accounts.NAME.tls_server_name":
		return "imap.example.net"
	case "accounts.NAME.tls_cert_file":
		return "# /etc/truehop/work.pem"
	case "accounts.NAME.tls_key_file":
		return "# /etc/truehop/work.key"
	case "accounts.NAME.tls_pins":
		return `# ["sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"]`
	case "accounts.NAME.proxy":
		return `# "socks5://proxy.example.org:1080"`
	case "accounts.NAME.proxy_password_file":
		return "# /etc/truehop/proxy.pass"
	case "accounts.NAME.connect_command":
		return `# [/usr/bin/ssh, -q, -W, "localhost:143", gate.example.net]`
	case "accounts.NAME.source_address":
		return "# 192.0.2.1"
	case "accounts.NAME.inject":
		return "main"
	case "accounts.NAME.user":
		return "joe@example.net"
	case "accounts.NAME.password_file":
		return "/etc/truehop/work.pass"
	case "accounts.NAME.folders":
		return "[INBOX, '\\Junk', \"Lists/*\", \"!Lists/old\"]"
	case "accounts.NAME.search":
		return `unseen younger 30d not from "News Letter"`
	case "accounts.NAME.recipients":
		return "[joe@example.org]"
	case "accounts.NAME.recipient_from":
		return "# delivered-to"
	case "accounts.NAME.recipient_domains":
		return "# [example.org, example.net]"
	case "accounts.NAME.recipient_strip_prefix":
		return "# example.org-"
	case "accounts.NAME.sender":
		return `""`
	case "accounts.NAME.mx":
		return "[mx*.example.net]"
	case "accounts.NAME.internal":
		return "[.internal.example.net]"
	case "accounts.NAME.internal_nets":
		return "[198.51.100.0/24]"
	case "accounts.NAME.gateways":
		return "[proofpoint, gw.example.org, 203.0.113.0/28]"
	case "accounts.NAME.schedule":
		return `"*/5 * * * *"`
	case "accounts.NAME.token_command":
		return "# [/usr/local/bin/mail-token, work]"
	}
	if key, ok := strings.CutPrefix(k.Path, "accounts.NAME.oauth."); ok {
		return "# " + map[string]string{
			"provider": "microsoft", "tenant": "contoso.onmicrosoft.com", "client_id": "11111111-2222-3333-4444-555555555555",
			"client_secret_file": "/etc/truehop/work.secret", "certificate_file": "/etc/truehop/work.pem", "flow": "app-only",
			"scopes":   "[https://outlook.office365.com/.default]",
			"auth_url": "https://login.example.net/authorize", "token_url": "https://login.example.net/token",
			"device_url": "https://login.example.net/devicecode", "issuer": "https://login.example.net",
			"redirect_port": "8123", "token_file": "/var/lib/truehop/tokens/work",
		}[key]
	}
	return k.Default
}

// full renders examples/full.yaml from the reference.
func full() string {
	var b strings.Builder
	b.WriteString("# Every key of truehop, with its default or an example. Lines such as \"# key: value\"\n" +
		"# exclude another key. This file is made from the reference in cmd/truehop/internal/config;\n" +
		"# for a start see minimal.yaml.\n")
	open := ""
	for _, k := range Reference() {
		parts := strings.Split(k.Path, ".")
		key, indent := parts[len(parts)-1], strings.Repeat("  ", len(parts)-1)
		if section := strings.Join(parts[:len(parts)-1], "."); section != open {
			open = section
			switch section {
			case "accounts.NAME":
				b.WriteString("  work:\n")
			case "accounts.NAME.oauth":
				b.WriteString("    # oauth:\n")
			case "", "inject": // that was written with its own paragraph
			default:
				fmt.Fprintf(&b, "\n%s:\n", section)
			}
		}
		if indent == "" {
			b.WriteByte('\n')
		}
		comment(&b, indent, k)
		switch v := sample(k); {
		case k.Path == "inject":
			b.WriteString("inject:\n")
		case key == "defaults":
			b.WriteString("defaults:\n  retry_max: 6h\n")
		case key == "accounts":
			b.WriteString("accounts:\n")
		case strings.HasPrefix(v, "# "):
			fmt.Fprintf(&b, "%s# %s: %s\n", indent, key, v[2:])
		default:
			fmt.Fprintf(&b, "%s%s: %s\n", indent, key, v)
		}
	}
	return b.String()
}

// comment writes the paragraph of k, wrapped at 100 columns.
func comment(b *strings.Builder, indent string, k Key) {
	text := k.Doc
	if k.Values != "" {
		text += " One of: " + strings.ReplaceAll(k.Values, "|", ", ") + "."
	}
	line := indent + "##"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 100 {
			fmt.Fprintln(b, line)
			line = indent + "##"
		}
		line += " " + word
	}
	fmt.Fprintln(b, line)
}

// examples/full.yaml shows every key with the words of the reference.
func TestFullExample(t *testing.T) {
	text := full()
	golden(t, fullFile, text)
	c := mustParse(t, []byte(text), options())
	if len(c.Warnings) > 0 {
		t.Errorf("warnings %q", c.Warnings)
	}
	// With every commented key in force nothing is unknown or of a wrong type: only contradictions are left.
	all := regexp.MustCompile(`(?m)^( *)# ([a-z_]+:( |$))`).ReplaceAllString(text, "$1$2")
	if all == text {
		t.Fatal("no key is commented out")
	}
	_, err := Parse("full.yaml", []byte(all), options())
	if err == nil {
		t.Fatal("contradicting keys were accepted")
	}
	for line := range strings.Lines(err.Error()) {
		if !regexp.MustCompile(`keep one|no effect with (tls: none|connect_command)|no effect without a user|in the clear`).MatchString(line) {
			t.Error(strings.TrimSpace(line))
		}
	}
	for _, k := range Reference() {
		key := k.Path[strings.LastIndexByte(k.Path, '.')+1:]
		if !regexp.MustCompile(`(?m)^ *` + key + `:`).MatchString(all) {
			t.Errorf("%s is not in full.yaml", k.Path)
		}
	}
}
