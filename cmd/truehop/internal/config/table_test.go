package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/sealed"
)

const tableFile = `state: postgres://truehop_node@db.example.net/truehop
accounts_from: postgres
defaults: {recipients: [joe@example.org], retry_max: 3h}
accounts:
  home: {host: imap.example.net, user: joe, password_file: /etc/truehop/home.pass}
`

// Identities that open nothing but what the tests seal.
const (
	firstKey  = "AGE-SECRET-KEY-1APTTL0MFF6QRTM9RCNVX38XKHN73P77N6UTSSNDJ69V2ZF03K3KQSNLUJ5"
	secondKey = "AGE-SECRET-KEY-1AAXE65CE8XY5U8QSYETEQKV047MWP4CDTFQWHXCGWPHJJU5TSRESKPX989"
)

// keysIn writes a file with an identity.
func keysIn(t *testing.T, identity string) (file string, keys sealed.Keys) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "accounts.key")
	err := os.WriteFile(file, []byte("# made by a test\n"+identity+"\n"), 0o600)
	if err == nil {
		keys, err = sealed.ParseKeys([]byte(identity))
	}
	if err != nil {
		t.Fatal(err)
	}
	return file, keys
}

func tableBase(t *testing.T) *Config {
	t.Helper()
	return mustParse(t, []byte(tableFile), options())
}

func row(name, settings string) Row {
	return Row{Name: name, Settings: []byte(settings), Enabled: true, Secret: []byte("sealed"), Changed: time.Unix(1, 0)}
}

const goodSettings = `{"host": "imap.example.com", "user": "joe"}`

// TestRows: a row is read by the rules of a file, over the defaults of the files; one that is wrong is skipped, with all
// that is wrong with it, and the others count.
func TestRows(t *testing.T) {
	for _, c := range []struct {
		name, file string
		rows       []Row
		accounts   string   // that there are then
		skipped    []string // lines
	}{
		{"none", tableFile, nil, "home", nil},
		{"beside those of the file", tableFile, []Row{row("work", goodSettings)}, "home work", nil},
		{"without any in the file", "accounts_from: service=truehop\ndefaults: {recipients: [joe@example.org]}\n", []Row{row("work", goodSettings)}, "work", nil},
		{"one that is not enabled, and wrong", tableFile, []Row{{Name: "draft", Settings: []byte(`{"host": ""}`)}, row("work", goodSettings)}, "home work", nil},
		{"one that is wrong", tableFile, []Row{row("bad", `{"hsot": "imap.example.com", "port": 99999, "idle": "yes"}`), row("work", goodSettings)}, "home work",
			[]string{`table account: accounts.bad.hsot: unknown key; did you mean "host"?`, "table account: accounts.bad.idle: want true or false", "table account: accounts.bad.port: 99999 is out of range",
				"table account: accounts.bad.user: is missing; give the login name"}},
		{"without a password", tableFile, []Row{{Name: "bare", Settings: []byte(goodSettings), Enabled: true}}, "home",
			[]string{"table account: accounts.bare.secret: there is no password; truehop accounts set --secret reads one"}},
		{"with the password that defaults name", "accounts_from: service=truehop\ndefaults: {recipients: [joe@example.org], password_file: /etc/truehop/all.pass}\n",
			[]Row{{Name: "bare", Settings: []byte(goodSettings), Enabled: true}}, "bare", nil},
		{"with its own beside what defaults name", "accounts_from: service=truehop\ndefaults: {recipients: [joe@example.org], password_file: /etc/truehop/all.pass}\n",
			[]Row{row("work", goodSettings)}, "work", nil},
		{"with a name that the file has", tableFile, []Row{row("home", goodSettings)}, "home",
			[]string{"table account: accounts.home: is in test.yaml, too, which counts; remove one of the two"}},
		{"with a name that cannot be one", tableFile, []Row{row("../x", goodSettings), row("", goodSettings), row("A\x1b", goodSettings)}, "home",
			[]string{`table account: "" is no name for an account`, `table account: "../x" is no name`, `table account: "A\x1b" is no name`}},
		{"for a mailbox of the file", tableFile, []Row{row("a", `{"host": "imap.example.net", "user": "joe"}`)}, "home",
			[]string{`table account: accounts.a: fetches INBOX of "joe" at imap.example.net, as account home does`}},
		{"two for one mailbox", tableFile, []Row{row("b", goodSettings), row("a", goodSettings)}, "a home",
			[]string{`table account: accounts.b: fetches INBOX of "joe" at imap.example.com, as account a does`}},
		{"with a target that is not there", tableFile, []Row{row("work", `{"host": "imap.example.com", "user": "joe", "inject": "other"}`)}, "home",
			[]string{`table account: accounts.work.inject: there is no target "other" below inject; there are: main`}},
		{"that is no object", tableFile, []Row{row("a", `[]`), row("b", `"x"`), row("c", `null`), row("d", ``), row("e", `{`)}, "home",
			[]string{"table account: accounts.a: settings are no JSON object", "table account: accounts.b: settings are", "table account: accounts.c: settings are",
				"table account: accounts.d: settings are", "table account: accounts.e: settings are"}},
		{"too large", tableFile, []Row{row("a", `{"sender": "`+strings.Repeat("x", maxSettings)+`"}`)}, "home", []string{"table account: accounts.a: settings are larger"}},
		{"what JSON writes otherwise", tableFile, []Row{row("work", `{"host": "imap.example.com", "user": "j\u00f6 \"x\" \\", "port": 1143, "tls": "starttls", "edge": false, "hops": 0,
			"folders": ["INBOX", "\\Junk"], "internal_nets": ["192.0.2.0/24"], "max_size": "1MiB", "search": "unseen"}`)}, "home work", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			base, err := Parse("test.yaml", []byte(c.file), options())
			if err != nil {
				t.Fatal(err)
			}
			table := NewTable(base)
			table.Set(c.rows...)
			next := table.Config()
			if got := strings.Join(next.Names(), " "); got != c.accounts {
				t.Errorf("accounts %q, want %q", got, c.accounts)
			}
			var lines []string
			for _, s := range next.Skipped {
				lines = append(lines, strings.Split(s.Error(), "\n")...)
			}
			for i, want := range c.skipped {
				if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
					t.Errorf("problem %d is not %s", i, want)
				}
			}
			if len(lines) != len(c.skipped) {
				t.Errorf("skipped:\n%s", strings.Join(lines, "\n"))
			}
		})
	}
}

// TestRowNamesNothingOfTheHost: whoever writes a row cannot start a program, have a file of the host read, or send an application's
// secret elsewhere; and a password in the clear is refused. Every key of an account is on one of the two sides.
func TestRowNamesNothingOfTheHost(t *testing.T) {
	refused := []string{
		"connect_command", "oauth.auth_url", "oauth.certificate_file", "oauth.client_secret_file", "oauth.device_url", "oauth.issuer", "oauth.token_file",
		"oauth.token_url", "password", "password_command", "password_credential", "password_file", "proxy_password_file", "tls_ca_file", "tls_cert_file",
		"tls_key_file", "token_command",
	}
	base := tableBase(t)
	var got []string
	for _, k := range Reference() {
		key, ok := strings.CutPrefix(k.Path, "accounts.NAME.")
		if !ok {
			continue
		}
		object := fmt.Sprintf(`{%q: %q}`, key, canary)
		if sub, nested := strings.CutPrefix(key, "oauth."); nested {
			object = fmt.Sprintf(`{"oauth": {%q: %q}}`, sub, canary)
		}
		table := NewTable(base)
		table.Set(row("work", object))
		skipped := table.Config().Skipped
		if len(skipped) != 1 {
			t.Fatalf("%s: the row counts", key)
		}
		if i := slices.IndexFunc(skipped[0].Problems, func(p Problem) bool {
			said := strings.Contains(p.Text, "which a row of a table cannot") || strings.Contains(p.Text, "which a table does not take")
			return said && p.Key == "accounts.work."+key
		}); i >= 0 {
			got = append(got, key)
		}
		if key == "password" && strings.Contains(skipped[0].Error(), canary) {
			t.Errorf("a password is shown: %v", skipped[0])
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, refused) {
		t.Errorf("refused are\n%v, want\n%v", got, refused)
	}
}

// TestRowPassword: the password of a row is decrypted at each login, and only with its key and in its row.
func TestRowPassword(t *testing.T) {
	file, keys := keysIn(t, firstKey)
	otherFile, other := keysIn(t, secondKey)
	missing := filepath.Join(t.TempDir(), "missing")
	public := filepath.Join(t.TempDir(), "public")
	data, err := os.ReadFile(file)
	if err == nil {
		err = errors.Join(os.WriteFile(public, data, 0o644), os.Chmod(public, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	seal := func(k sealed.Keys, name string) []byte {
		data, err := k.Seal(name, canary)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, c := range []struct {
		name, config string
		secret       []byte
		err          string
	}{
		{"in its row", "accounts_key_file: " + file, seal(keys, "work"), ""},
		{"of another row", "accounts_key_file: " + file, seal(keys, "home"), "secret of account work: was sealed for another account"},
		{"with another key", "accounts_key_file: " + otherFile, seal(keys, "work"), "secret of account work: is sealed for another key than those at hand"},
		{"damaged", "accounts_key_file: " + file, seal(other, "work")[:100], "secret of account work: is not what truehop accounts or age has sealed"},
		{"without a key", "", seal(keys, "work"), "secret of account work: accounts_key_file: is not set"},
		{"with a key that is not there", "accounts_key_file: " + missing, seal(keys, "work"), "secret of account work: accounts_key_file " + missing + ": no such file"},
		{"with a key that others can read", "accounts_key_file: " + public, seal(keys, "work"), "lets others read it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			base, err := Parse("test.yaml", []byte(tableFile+c.config+"\n"), options())
			if err != nil {
				t.Fatal(err)
			}
			table := NewTable(base)
			table.Set(Row{Name: "work", Settings: []byte(goodSettings), Enabled: true, Secret: c.secret})
			password, err := table.Config().Accounts["work"].Password(t.Context())
			var secret *SecretError
			switch {
			case c.err == "":
				if err != nil || password.Reveal() != canary {
					t.Errorf("password %q, error %v", password.Reveal(), err)
				}
			case !errors.As(err, &secret), !strings.Contains(err.Error(), c.err), strings.Contains(err.Error(), canary):
				t.Errorf("error %v, want %s", err, c.err)
			}
		})
	}
}

// TestTableChanges: of a table that is read again only what changed is another account. A password that was sealed anew is none.
func TestTableChanges(t *testing.T) {
	table := NewTable(tableBase(t))
	one, two := row("one", goodSettings), row("two", `{"host": "imap.example.com", "user": "two"}`)
	table.Set(one, two)
	before := table.Config()
	for _, c := range []struct {
		name       string
		change     func(*Table) *Table
		come, gone string
	}{
		{"nothing", func(t *Table) *Table { t.Set(one, two); return t }, "", ""},
		{"other settings", func(t *Table) *Table {
			r := one
			r.Settings, r.Changed = []byte(`{"host": "imap.example.com", "user": "joe", "idle": false}`), time.Unix(2, 0)
			t.Set(r)
			return t
		}, "one", ""},
		{"another key to the password", func(t *Table) *Table { r := one; r.Secret = []byte("anew"); t.Set(r); return t }, "", ""},
		{"no password any more", func(t *Table) *Table { r := one; r.Secret = nil; t.Set(r); return t }, "", "one"},
		{"a row that has gone", func(t *Table) *Table { t.Remove("two"); return t }, "", "two"},
		{"a row that is not enabled any more", func(t *Table) *Table { r := two; r.Enabled = false; t.Set(r); return t }, "", "two"},
		{"a row that is wrong now", func(t *Table) *Table { t.Set(row("two", `{}`)); return t }, "", "two"},
		{"a new row", func(t *Table) *Table { t.Set(row("three", `{"host": "imap.example.com", "user": "three"}`)); return t }, "three", ""},
		{"other defaults", func(t *Table) *Table {
			base, err := Parse("test.yaml", []byte(strings.Replace(tableFile, "3h", "2h", 1)), options())
			if err != nil {
				panic(err)
			}
			return t.Rebase(base)
		}, "home one two", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			again := table.Rebase(tableBase(t))
			come, gone := before.Changed(c.change(again).Config())
			if strings.Join(come, " ") != c.come || strings.Join(gone, " ") != c.gone {
				t.Errorf("come %v, gone %v; want %q and %q", come, gone, c.come, c.gone)
			}
		})
	}
	table.Set(one)
	if again := table.Config(); again.Accounts["one"] != before.Accounts["one"] {
		t.Error("a row that did not change was read again")
	}
}

// TestLoginBasisOfRow: another password, or another host, is another basis for a login that was refused.
func TestLoginBasisOfRow(t *testing.T) {
	basis := func(r Row) string {
		table := NewTable(tableBase(t))
		table.Set(r)
		return table.Config().Accounts[r.Name].LoginBasis("test.yaml")
	}
	before := basis(row("work", goodSettings))
	if basis(row("work", goodSettings)) != before {
		t.Error("the same row has two bases")
	}
	other := row("work", goodSettings)
	other.Secret = []byte("another")
	if basis(other) == before || basis(row("work", `{"host": "imap.example.org", "user": "joe"}`)) == before {
		t.Error("another login has the same basis")
	}
}

// TestRowOrigin: config show says which values are from the table, and which from beneath it.
func TestRowOrigin(t *testing.T) {
	table := NewTable(tableBase(t))
	table.Set(row("work", goodSettings))
	got := map[string]string{}
	for _, s := range table.Config().Settings() {
		got[s.Key] = s.Origin
	}
	for key, want := range map[string]string{"accounts.work.host": TableName, "accounts.work.retry_max": "truehop.yaml:3 defaults", "accounts.work.idle": "default"} {
		if got[key] != want {
			t.Errorf("%s is from %q, want %q", key, got[key], want)
		}
	}
}

// TestTableKeys: what is said of the table itself is checked with the files.
func TestTableKeys(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"accounts_from: service=truehop\naccounts_key_file: key\n", "accounts_key_file: want an absolute path"},
		{"accounts_from: service=truehop\naccounts_key_credential: a/b\n", "accounts_key_credential: is no name of a credential"},
		{"accounts_from: service=truehop\naccounts_key_file: /k\naccounts_key_credential: k\n", "accounts_key_credential: accounts_key_file and accounts_key_credential are both given"},
		{"accounts_from: postgres\n", "accounts_from: postgres is the database that state names, and there is none"},
		{"accounts_from: sqlite\n", `accounts_from: want postgres://USER@HOST/DATABASE or service=NAME, got "sqlite"`},
		{"accounts_from: postgres://u:" + canary + "@db/truehop\n", "accounts_from: holds a password"},
		{string(one("")) + "accounts_key_file: /k\n", "accounts_key_file: has no effect without accounts_from"},
		{"accounts_from: service=truehop\ntrouble_mail: postmaster@example.org\n", "trouble_mail: needs a listener that asks no rules about clients; set inject.plain"},
	} {
		_, err := Parse("test.yaml", []byte(c.text), options())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q gives %v, want %s", c.text, err, c.want)
		}
	}
}
