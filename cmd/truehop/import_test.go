package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

// importWorld is a home directory with a fetchmailrc in it, and what fetchmail has fetched.
type importWorld struct{ home, rc, config string }

func newImportWorld(t *testing.T) *importWorld {
	t.Helper()
	home := t.TempDir()
	w := &importWorld{home, filepath.Join(home, ".fetchmailrc"), filepath.Join(home, "etc", "truehop.yaml")}
	w.write(t, w.rc, "poll pop.example.net proto pop3 user joe pass 'hunter2' is joe here ssl keep\n")
	w.write(t, filepath.Join(home, ".fetchids"), "joe@pop.example.net u1\njoe@pop.example.net u2\nann@pop.example.net u3\n")
	t.Setenv("HOME", home)
	t.Setenv("TRUEHOP_STATE_DIR", filepath.Join(home, "state"))
	return w
}

func (w *importWorld) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// call imports, and returns the exit code and all that was said.
func (w *importWorld) call(args ...string) (code int, said string) {
	var stdout, stderr bytes.Buffer
	code = run(append([]string{"import", "--config", w.config}, args...), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String() + stderr.String()
}

// files are those below the home directory but for the ledger's, with their modes.
func (w *importWorld) files(t *testing.T) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(w.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if rel, _ := filepath.Rel(w.home, path); !strings.HasPrefix(rel, "state/") {
			all = append(all, rel+" "+info.Mode().String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// TestImport: the dry run writes nothing, the import writes configuration, password and record, and neither replaces anything.
func TestImport(t *testing.T) {
	w := newImportWorld(t)
	before := w.files(t)
	code, said := w.call("--dry-run", "fetchmailrc", w.rc)
	if code != exitOK || !strings.Contains(said, "host: pop.example.net") || !strings.Contains(said, "# ") {
		t.Errorf("the dry run ended with %d and said\n%s", code, said)
	}
	if _, err := os.Stat(filepath.Join(w.home, "state")); w.files(t) != before || err == nil {
		t.Errorf("the dry run wrote\n%s", w.files(t))
	}
	code, said = w.call("fetchmailrc", w.rc)
	if code != exitOK || !strings.Contains(said, "1 account written") || !strings.Contains(said, "2 messages recorded") || strings.Contains(said, "hunter2") {
		t.Errorf("the import ended with %d and said\n%s", code, said)
	}
	if next := "\nNext: truehop check --config " + w.config + ", and truehop run --dry-run --config " + w.config + ".\n"; !strings.Contains(said, next) {
		t.Errorf("the import does not say %q but\n%s", next, said)
	}
	const want = ".fetchids -rw-------\n.fetchmailrc -rw-------\netc/secrets/pop.example.net -rw-------\netc/truehop.yaml -rw-------"
	if got := w.files(t); got != want {
		t.Errorf("there are\n%s\nwant\n%s", got, want)
	}
	if password := readText(t, filepath.Join(w.home, "etc/secrets/pop.example.net")); password != "hunter2\n" {
		t.Errorf("the password is %q", password)
	}
	record, err := ledger.OpenReadOnly(t.Context(), filepath.Join(w.home, "state"))
	if err != nil {
		t.Fatal(err)
	}
	counts, err := record.Counts(t.Context(), "pop.example.net")
	if err != nil || counts[ledger.Adopted] != 2 || len(counts) != 1 {
		t.Errorf("the ledger has %v, %v, want two adopted messages", counts, err)
	}
	if err := record.Close(); err != nil {
		t.Error(err)
	}
	if code, said = w.call("fetchmailrc", w.rc); code != exitUsage || !strings.Contains(said, "--force") {
		t.Errorf("a second import ended with %d and said\n%s", code, said)
	}
	w.write(t, w.rc, strings.Replace(readText(t, w.rc), "hunter2", "another", 1))
	if code, said = w.call("--force", "fetchmailrc", w.rc); code != exitConfig || !strings.Contains(said, "never overwritten") || strings.Contains(said, "another\n") {
		t.Errorf("an import with another password ended with %d and said\n%s", code, said)
	}
	if password := readText(t, filepath.Join(w.home, "etc/secrets/pop.example.net")); password != "hunter2\n" {
		t.Errorf("the password was overwritten with %q", password)
	}
}

// TestImportOfSeveralFiles: the files of two users become one configuration, in which each has an account, a password and a record
// of his own.
func TestImportOfSeveralFiles(t *testing.T) {
	w := newImportWorld(t)
	second := filepath.Join(w.home, "ann.rc")
	w.write(t, second, "set syslog\npoll pop.example.net proto pop3 user ann pass 'hunter3' is ann here ssl keep smtphost mta.example.org\n")
	code, said := w.call("fetchmailrc", w.rc, second)
	if code != exitOK {
		t.Fatalf("the import ended with %d and said\n%s", code, said)
	}
	for _, line := range []string{
		"What is different now, by line and column of " + w.rc + ":", "What is different now, by line and column of " + second + ":",
		"  1:5: set syslog: ", "2 accounts written", "3 messages recorded",
	} {
		if strings.Count(said, line) != 1 {
			t.Errorf("%q stands %d times in\n%s", line, strings.Count(said, line), said)
		}
	}
	record, err := ledger.OpenReadOnly(t.Context(), filepath.Join(w.home, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	for account, want := range map[string]struct {
		password string
		adopted  int
	}{"pop.example.net": {"hunter2\n", 2}, "pop.example.net-2": {"hunter3\n", 1}} {
		counts, err := record.Counts(t.Context(), account)
		if err != nil || counts[ledger.Adopted] != want.adopted {
			t.Errorf("%s: %v, %v, want %d", account, counts, err, want.adopted)
		}
		if got := readText(t, filepath.Join(w.home, "etc/secrets", account)); got != want.password {
			t.Errorf("%s: the password is %q", account, got)
		}
	}
	if text := readText(t, w.config); strings.Count(text, "inject: mta-2") != 1 || !strings.Contains(text, "address: mta.example.org:25") {
		t.Errorf("the second does not have its own MTA:\n%s", text)
	}
	for _, args := range [][]string{{"fetchmailrc", w.rc, w.rc}, {"--seen", "x", "fetchmailrc", w.rc, second}} {
		if code, said := w.call(args...); code != exitUsage {
			t.Errorf("%v ended with %d and said\n%s", args, code, said)
		}
	}
}

// TestImportOfAnotherMailbox: two users' files name their accounts alike. The record of the one is not taken for the other's.
func TestImportOfAnotherMailbox(t *testing.T) {
	w := newImportWorld(t)
	if code, said := w.call("fetchmailrc", w.rc); code != exitOK {
		t.Fatalf("the import ended with %d and said\n%s", code, said)
	}
	before := w.files(t)
	for name, c := range map[string]struct {
		file string
		args []string
		says string
	}{
		"another user":                        {"poll pop.example.net proto pop3 user ann pass 'hunter3' is ann here ssl keep\n", []string{"--force"}, "ann at pop.example.net;"},
		"another user, another configuration": {"poll pop.example.net proto pop3 user ann pass 'hunter3' is ann here ssl keep\n", []string{"--config", filepath.Join(w.home, "etc", "ann.yaml")}, "ann at pop.example.net;"},
		"the same name behind another tunnel": {"poll pop.example.net proto pop3 port 1111 user joe pass 'hunter3' is joe here ssl keep\n", []string{"--force"}, "joe at pop.example.net:1111;"},
	} {
		second := filepath.Join(t.TempDir(), "second.rc")
		w.write(t, second, c.file)
		if code, said := w.call(append(c.args, "--seen", "none", "fetchmailrc", second)...); code != exitUsage || !strings.Contains(said, "not known to be "+c.says) {
			t.Errorf("%s: it ended with %d and said\n%s", name, code, said)
		}
		if after := w.files(t); after != before {
			t.Errorf("%s: it left\n%s", name, after)
		}
	}
	if err := os.Remove(w.config); err != nil {
		t.Fatal(err)
	}
	if code, said := w.call("fetchmailrc", w.rc); code != exitOK || !strings.Contains(said, "0 messages recorded") {
		t.Errorf("the first again ended with %d and said\n%s", code, said)
	}
}

// TestImportRefuses: what cannot be imported leaves nothing behind.
func TestImportRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*importWorld) error
		args    []string
		code    int
		says    string
	}{
		"a mistake in the file": {nil, []string{"fetchmailrc", "bad"}, exitConfig, "bad:2:8: "},
		"no such file":          {nil, []string{"fetchmailrc", "none"}, exitConfig, "no such file"},
		"an unknown kind":       {nil, []string{"procmailrc", "none"}, exitUsage, "fetchmailrc, getmailrc, mpoprc, mbsyncrc"},
		"no kind":               {nil, []string{"bad"}, exitUsage, "truehop import"},
		"no record of what was fetched": {func(w *importWorld) error { return os.Remove(filepath.Join(w.home, ".fetchids")) },
			[]string{"fetchmailrc", ".fetchmailrc"}, exitUsage, "--seen"},
		"a named record that is not there": {nil, []string{"--seen", "none-such", "fetchmailrc", ".fetchmailrc"}, exitUsage, "none-such"},
		"what truehop refuses":             {nil, []string{"fetchmailrc", "strange"}, exitConfig, "is no host name"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newImportWorld(t)
			t.Chdir(w.home)
			w.write(t, "bad", "defaults\npoll h nonsense\n")
			w.write(t, "strange", "poll 'a b' proto pop3 user u pass p\n")
			if c.prepare != nil {
				if err := c.prepare(w); err != nil {
					t.Fatal(err)
				}
			}
			before := w.files(t)
			code, said := w.call(c.args...)
			if code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("it ended with %d, want %d, and said, without %q:\n%s", code, c.code, c.says, said)
			}
			if after := w.files(t); after != before {
				t.Errorf("it left\n%s", after)
			}
		})
	}
}

// TestImportOfAFreshPredecessor: one that has fetched nothing yet has no record, and a person says so.
func TestImportOfAFreshPredecessor(t *testing.T) {
	w := newImportWorld(t)
	if err := os.Remove(filepath.Join(w.home, ".fetchids")); err != nil {
		t.Fatal(err)
	}
	if code, said := w.call("--dry-run", "fetchmailrc", w.rc); code != exitOK || !strings.Contains(said, "\n# The import will stop: account pop.example.net keeps its mail upstream") {
		t.Errorf("the dry run ended with %d and said\n%s", code, said)
	}
	code, said := w.call("--seen", "none", "fetchmailrc", w.rc)
	if code != exitOK || !strings.Contains(said, "0 messages recorded") || !strings.Contains(said, "pop.example.net: nothing was fetched before, as you told") {
		t.Errorf("it ended with %d and said\n%s", code, said)
	}
}

// TestImportOfSeveralFilesWhereOneHasNoRecord: a person says that the one has fetched nothing, or that its record cannot be read, and the
// record of the other is not passed over. What would be refused is not advised.
func TestImportOfSeveralFilesWhereOneHasNoRecord(t *testing.T) {
	w := newImportWorld(t)
	var files []string
	for _, user := range []string{"joe", "ann"} {
		rc := filepath.Join(w.home, user)
		w.write(t, rc, "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = pop.example.net\nusername = "+user+"\npassword = p\n[destination]\ntype = Mboxrd\npath = /x\n")
		files = append(files, rc)
	}
	w.write(t, filepath.Join(w.home, "oldmail-pop.example.net-995-joe"), "u1\x001700000000\nu2\x001700000000\n")
	if code, said := w.call(append([]string{"getmailrc"}, files...)...); code != exitUsage || !strings.Contains(said, "account ann keeps its mail upstream") || strings.Contains(said, "--seen FILE") {
		t.Errorf("it ended with %d and said\n%s", code, said)
	}
	closed := filepath.Join(w.home, "oldmail-pop.example.net-995-ann")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if code, said := w.call(append([]string{"getmailrc"}, files...)...); code != exitConfig || !strings.Contains(said, closed+": cannot be read") || !strings.Contains(said, "--seen none") || strings.Contains(said, "--seen FILE") {
		t.Errorf("it ended with %d and said\n%s", code, said)
	}
	if code, said := w.call(append([]string{"--seen", "none", "getmailrc"}, files...)...); code != exitOK || !strings.Contains(said, "2 messages recorded") {
		t.Errorf("it ended with %d and said\n%s", code, said)
	}
}

// TestImportOfAClosedRecord: a record that cannot be read stops the import, which says what to type.
func TestImportOfAClosedRecord(t *testing.T) {
	w := newImportWorld(t)
	record := filepath.Join(w.home, ".fetchids")
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(record, 0o700); err != nil { // root could read any file
		t.Fatal(err)
	}
	if code, said := w.call("fetchmailrc", w.rc); code != exitConfig || !strings.Contains(said, record+": cannot be read") || !strings.Contains(said, "--seen none says") {
		t.Errorf("it ended with %d and said\n%s", code, said)
	}
}
