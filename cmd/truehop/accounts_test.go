package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// Identities of age that open nothing but what the tests seal.
const (
	firstAccountsKey  = "AGE-SECRET-KEY-1APTTL0MFF6QRTM9RCNVX38XKHN73P77N6UTSSNDJ69V2ZF03K3KQSNLUJ5"
	secondAccountsKey = "AGE-SECRET-KEY-1AAXE65CE8XY5U8QSYETEQKV047MWP4CDTFQWHXCGWPHJJU5TSRESKPX989"
)

// tableTrial is a service whose accounts stand in a table, and the commands for that.
type tableTrial struct {
	*serviceTrial
	url string
}

func newTableTrial(t *testing.T) *tableTrial {
	t.Helper()
	url := postgrestest.New(t)
	s := newServiceTrial(t, injecttest.Options{}, fmt.Sprintf("state: %q\naccounts_from: postgres\n", url))
	s.write(t, "accounts.key", firstAccountsKey+"\n")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "truehop.yaml", "accounts_key_file: "+filepath.Join(s.dir, "accounts.key")+"\n"+strings.Replace(string(text), "password: p, ", "", 1))
	return &tableTrial{s, url}
}

// accounts runs truehop accounts, with this input, and returns what it says; code is how it ends.
func (s *tableTrial) accounts(t *testing.T, code int, input string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(slices.Concat([]string{"accounts"}, args, []string{"--config", s.config}), strings.NewReader(input), &out, &errs); got != code {
		t.Fatalf("accounts %v ends with %d, want %d:\n%s%s", args, got, code, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// mailbox serves a mailbox of this user, and returns the keys that its row needs.
func (s *tableTrial) mailbox(t *testing.T, name string) (*fakeserver.Store, []string) {
	t.Helper()
	store := s.account(t, name, nil)
	file := filepath.Join(s.dir, "conf.d", name+".yaml")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.Remove(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	_, pairs, _ := strings.Cut(strings.TrimSpace(string(text)), "{")
	for pair := range strings.SplitSeq(strings.TrimSuffix(pairs, "}"), ", ") {
		key, value, _ := strings.Cut(pair, ": ")
		keys = append(keys, key+"="+strings.Trim(value, "[]"))
	}
	return store, keys
}

// TestServeFollowsTheTable: accounts in a table come, change and go while the service runs, without a signal; a row that is wrong is told
// of once and stops no other; a broken connection to the database costs nothing but time.
func TestServeFollowsTheTable(t *testing.T) {
	s := newTableTrial(t)
	first, keys := s.mailbox(t, "first")
	first.Add("INBOX", scriptMail(1))
	s.accounts(t, exitOK, "p\n", append([]string{"add", "first"}, keys...)...)
	s.start(t, 0)
	s.await(t, "msg=delivered", "account=first")
	second, keys := s.mailbox(t, "second")
	second.Add("INBOX", scriptMail(2))
	s.accounts(t, exitOK, "p\n", append([]string{"add", "second"}, keys...)...)
	s.await(t, "msg=reloaded", "come=second", "gone=-")
	s.await(t, "msg=delivered", "account=second")
	postgrestest.Exec(t, s.url, `INSERT INTO truehop.account (name, settings) VALUES ('bad', '{"hsot": "x"}')`)
	s.await(t, `msg="account skipped"`, "account=bad", `did you mean \"host\"?`)
	postgrestest.Sever(t, s.url)
	s.await(t, `msg="accounts not read"`, "error=")
	s.accounts(t, exitOK, "", "disable", "first")
	s.await(t, `msg="accounts not read"`, "recovered=true")
	s.await(t, "msg=reloaded", "come=-", "gone=first")
	s.accounts(t, exitOK, "", "set", "second", "sender=other@example.net")
	s.await(t, "msg=reloaded", "come=second", "gone=-")
	s.accounts(t, exitOK, "", "enable", "first")
	s.await(t, "msg=reloaded", "come=first", "gone=-")
	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await(t, "msg=reloaded", "come=-", "gone=-")
	s.accounts(t, exitOK, "", "remove", "second", "bad")
	s.await(t, "msg=reloaded", "come=-", "gone=second")
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.await(t, "msg=stopped")
	if code := s.wait(t); code != exitOK {
		t.Errorf("it ends with %d:\n%s", code, s.said.String())
	}
	if said := s.said.String(); strings.Count(said, "account skipped") != 1 || s.mta.Count() != 2 {
		t.Errorf("a wrong row is told of %d times, and the MTA took %d messages:\n%s", strings.Count(said, "account skipped"), s.mta.Count(), said)
	}
}

// TestRunReadsTheTable: run makes passes over the accounts of files and table; of a wrong row it tells once, and ends by it each time; status
// shows it.
func TestRunReadsTheTable(t *testing.T) {
	s := newTableTrial(t)
	inFile := s.account(t, "file", nil)
	inFile.Add("INBOX", scriptMail(1))
	s.write(t, "pass", "p\n")
	text, err := os.ReadFile(filepath.Join(s.dir, "conf.d/file.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "conf.d/file.yaml", strings.Replace(string(text), "{", "{password_file: "+filepath.Join(s.dir, "pass")+", ", 1))
	inTable, keys := s.mailbox(t, "table")
	inTable.Add("INBOX", scriptMail(2))
	s.accounts(t, exitOK, "p\n", append([]string{"add", "table"}, keys...)...)
	for i, c := range []struct {
		sql  string
		code int
		told string
	}{
		{"", exitOK, ""},
		{`INSERT INTO truehop.account (name, settings) VALUES ('bad', '{"hsot": "x"}')`, exitConfig, "accounts.bad.hsot: unknown key"},
		{"", exitConfig, ""},
		{`UPDATE truehop.account SET settings = '{"hsot": "y"}' WHERE name = 'bad'`, exitConfig, "accounts.bad.hsot: unknown key"},
		{"DELETE FROM truehop.account WHERE name = 'bad'", exitOK, ""},
	} {
		if c.sql != "" {
			postgrestest.Exec(t, s.url, c.sql)
		}
		var out, errs bytes.Buffer
		if code := run([]string{"run", "--quiet", "--config", s.config}, strings.NewReader(""), &out, &errs); code != c.code {
			t.Errorf("run %d ends with %d, want %d: %s", i, code, c.code, errs.String())
		}
		if said := errs.String(); (c.told == "") != !strings.Contains(said, "skipped") || !strings.Contains(said, c.told) {
			t.Errorf("run %d tells %q, want %q", i, said, c.told)
		}
		out.Reset()
		code := run([]string{"status", "--json", "--config", s.config}, strings.NewReader(""), &out, &errs)
		if bad := strings.Contains(out.String(), `"account":"bad"`); code != c.code || bad != (c.code == exitConfig) {
			t.Errorf("status after run %d ends with %d and shows\n%s", i, code, out.String())
		}
	}
	if n := s.mta.Count(); n != 2 {
		t.Errorf("the MTA took %d messages, want one of each account", n)
	}
}

// TestAccountsCommands: rows are added, shown, changed and removed; what would be no account is not written, and no password is ever shown.
func TestAccountsCommands(t *testing.T) {
	s := newTableTrial(t)
	const canary = "correct horse"
	rows := func(args ...string) (all []ui.AccountRow) {
		t.Helper()
		out, _ := s.accounts(t, exitOK, "", append(args, "--json")...)
		for line := range strings.Lines(out) {
			var r ui.AccountRow
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		return all
	}
	add := []string{"add", "work", "host=imap.example.net", "user=joe", "recipients=joe@example.org"}
	s.accounts(t, exitOK, canary+"\n", add...)
	if all := rows("list"); len(all) != 1 || all[0].Account != "work" || !all[0].Secret || !all[0].Enabled || *all[0].Host != "imap.example.net" || len(all[0].Problems) > 0 {
		t.Fatalf("rows %+v", all)
	}
	if stored := postgrestest.Ask[string](t, s.url, "SELECT row_to_json(account)::text FROM truehop.account"); strings.Contains(stored, canary) || strings.Contains(stored, fmt.Sprintf("%x", canary)) {
		t.Errorf("the database holds the password: %s", stored)
	}
	for _, c := range []struct {
		name  string
		code  int
		input string
		args  []string
		want  string
	}{
		{"a name that is there", exitUsage, canary, []string{"add", "work", "host=imap.example.org", "user=ann", "recipients=joe@example.org"}, "has an account work already"},
		{"a mailbox that is there", exitConfig, canary, []string{"add", "again", "host=imap.example.net", "user=joe", "recipients=joe@example.org"}, "as account again does"},
		{"a misspelt key", exitUsage, canary, []string{"add", "other", "hsot=x"}, `did you mean "host"?`},
		{"what is missing", exitConfig, canary, []string{"add", "other", "host=imap.example.net"}, "accounts.other.user: is missing"},
		{"a password in the clear", exitUsage, "", []string{"set", "work", "password=" + canary}, "set --secret encrypts one"},
		{"an empty password", exitUsage, "\n", []string{"add", "other", "host=imap.example.org", "user=joe", "recipients=joe@example.org"}, "the password is empty"},
		{"no password", exitUsage, "", []string{"add", "other", "host=imap.example.org", "user=joe", "recipients=joe@example.org"}, "there is no password in the input"},
		{"an account that is not there", exitUsage, "", []string{"disable", "other"}, `the table has no account "other"`},
		{"nothing to change", exitUsage, "", []string{"set", "work"}, "changes nothing"},
		{"what would be no account", exitConfig, "", []string{"set", "work", "--unset", "host"}, "accounts.work.host: is missing"},
		{"no source of a password", exitConfig, "", []string{"set", "work", "--no-secret"}, "accounts.work.secret: there is no password"},
	} {
		_, stderr := s.accounts(t, c.code, c.input, c.args...)
		if !strings.Contains(stderr, c.want) || strings.Contains(stderr, canary) {
			t.Errorf("%s: it says %s, want %s", c.name, stderr, c.want)
		}
	}
	s.accounts(t, exitOK, "", "set", "work", "host=imap.example.org", "folders=INBOX,Lists")
	s.accounts(t, exitOK, "", "disable", "work")
	if all := rows("list", "work"); len(all) != 1 || all[0].Enabled || all[0].Host != nil {
		t.Errorf("rows %+v", all)
	}
	s.accounts(t, exitOK, "", "enable", "work")
	out, _ := s.accounts(t, exitOK, "", "list")
	if !strings.Contains(out, "imap.example.org") {
		t.Errorf("list says\n%s", out)
	}
	s.accounts(t, exitOK, "", "check")
	s.accounts(t, exitOK, "", "remove", "work")
	if all := rows("list"); len(all) != 0 {
		t.Errorf("rows %+v", all)
	}
}

// TestAccountsRekey: with both keys at hand all passwords are encrypted for the new one, and then the old one is not needed; what neither opens
// stays and is told of.
func TestAccountsRekey(t *testing.T) {
	s := newTableTrial(t)
	for _, name := range []string{"one", "two"} {
		s.accounts(t, exitOK, "p\n", "add", name, "host=imap.example.net", "user="+name, "recipients=joe@example.org")
	}
	s.write(t, "accounts.key", secondAccountsKey+"\n")
	out, _ := s.accounts(t, exitCredentials, "", "check")
	if strings.Count(out, "is sealed for another key") != 2 {
		t.Errorf("check says\n%s", out)
	}
	_, errs := s.accounts(t, exitCredentials, "", "rekey")
	if strings.Count(errs, "is sealed for another key") != 2 {
		t.Errorf("rekey without the old key says\n%s", errs)
	}
	s.write(t, "accounts.key", secondAccountsKey+"\n"+firstAccountsKey+"\n")
	for _, want := range []string{": 2\n", ": 0\n"} {
		if out, _ := s.accounts(t, exitOK, "", "rekey"); !strings.HasPrefix(out, "passwords encrypted anew, for age1") || !strings.HasSuffix(out, want) {
			t.Errorf("rekey says %q, want it to end in %q", out, want)
		}
	}
	s.write(t, "accounts.key", secondAccountsKey+"\n")
	s.accounts(t, exitOK, "", "check")
	// A password that was copied to another row does not open there.
	postgrestest.Exec(t, s.url, "UPDATE truehop.account SET secret = (SELECT secret FROM truehop.account WHERE name = 'one') WHERE name = 'two'")
	out, _ = s.accounts(t, exitCredentials, "", "check", "two", "--json")
	if !strings.Contains(out, "was sealed for another account") {
		t.Errorf("check says\n%s", out)
	}
	_, errs = s.accounts(t, exitOK, "", "rekey")
	if errs != "" {
		t.Errorf("rekey says %s", errs)
	}
}

// TestAccountsWithoutTable: where no table is configured the commands say how to have one.
func TestAccountsWithoutTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "truehop.yaml")
	if err := os.WriteFile(file, []byte("accounts: {work: {host: imap.example.net, user: joe, password_file: /p, recipients: [joe@example.org]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run([]string{"accounts", "list", "--config", file}, strings.NewReader(""), &out, &errs)
	if code != exitUsage || !strings.Contains(errs.String(), "set accounts_from: postgres") {
		t.Errorf("it ends with %d and says %s", code, errs.String())
	}
}

// TestCheckOfAnEmptyTable: check does not say that all is well where no mail is fetched, and names the rows that are no accounts.
func TestCheckOfAnEmptyTable(t *testing.T) {
	s := newTableTrial(t)
	s.accounts(t, exitOK, "", "prepare")
	check := func(want ...string) {
		t.Helper()
		var out bytes.Buffer
		if code := run([]string{"check", "--config", s.config}, strings.NewReader(""), &out, &out); code != exitOK {
			t.Errorf("it ends with %d", code)
		}
		for _, part := range want {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%q is missing in\n%s", part, &out)
			}
		}
	}
	check("WARN: there is no account, so no mail is fetched\n  truehop accounts add ", "\nrun has nothing to do, with 2 warnings\n")
	postgrestest.Exec(t, s.url, `INSERT INTO truehop.account (name, settings) SELECT 'bad' || n, '{"hsot": "x"}' FROM generate_series(10, 21) AS n`)
	check("WARN: rows of the table that are no accounts: bad10, bad11, ", "bad19, and 2 more\n  truehop accounts check says why\n")
}

// TestCheckOfADatabaseWithoutTables: check says that there are none, and who makes them. The command that does needs no table of accounts.
func TestCheckOfADatabaseWithoutTables(t *testing.T) {
	url := postgrestest.New(t)
	postgrestest.Exec(t, url, "CREATE ROLE guest LOGIN")
	t.Cleanup(func() { postgrestest.Exec(t, url, "DROP ROLE guest") })
	file := filepath.Join(t.TempDir(), "truehop.yaml")
	text := "state_dir: " + t.TempDir() + "\ninject: {address: \"127.0.0.1:1\"}\naccounts: {work: {host: 127.0.0.1, port: 1, user: joe, password: p, recipients: [joe@example.org]}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	said := func(user string, args ...string) string {
		t.Helper()
		t.Setenv("TRUEHOP_STATE", strings.Replace(url, "postgres@", user+"@", 1))
		var out bytes.Buffer
		run(append(args, "--config", file), strings.NewReader(""), &out, &out)
		return out.String()
	}
	for user, want := range map[string]string{
		"postgres": "WARN: the database has no tables of truehop; the first pass makes them\n  truehop accounts prepare makes them now\n",
		"guest":    "cannot be read: it has no schema truehop\n  let a role that may make the tables say truehop accounts prepare\n",
	} {
		if got := said(user, "check"); !strings.Contains(got, want) {
			t.Errorf("as %s: it does not say %q:\n%s", user, want, got)
		}
	}
	if got := said("postgres", "accounts", "prepare"); got != "the tables are ready\n" {
		t.Errorf("prepare says %q", got)
	}
	if got := said("postgres", "check"); !strings.Contains(got, "\nok      state: ") {
		t.Errorf("with its tables:\n%s", got)
	}
	t.Setenv("TRUEHOP_STATE", "")
	var out bytes.Buffer
	if code := run([]string{"accounts", "prepare", "--config", file}, strings.NewReader(""), &out, &out); code != exitUsage || !strings.Contains(out.String(), "set state in ") {
		t.Errorf("prepare without a database ends with %d:\n%s", code, &out)
	}
}
