//go:build linux

// Package filters holds recipes for filters behind Postfix, each with what the filter makes of the same messages when fetchmail
// delivers them and when truehop does. The tests run the files as they are.
package filters

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/truehop/truehop/examples/mailtest"
)

// truehop is set in the environment to the path of the program.
const truehop = "TEST_TRUEHOP"

// recipe is a directory, and a row of the table in README.md.
type recipe struct {
	dir, filter string
	// variant is another way to do what the directory does, as the README's blocks of the log name it.
	variant string
	// programs must be installed.
	programs []string
	// tables are files that main.cf has beside it.
	tables []string
	// instead is a word of main.cf, and the one that the README names in its place.
	instead [2]string
	// own are lines of main.cf that a user may have besides.
	own []string
	// further are the names of messages besides the four.
	further string
	// start starts the filter, and installs its configuration.
	start func(w *world)
	// port25 is what listens there, an smtpd if "".
	port25 string
	// inject is a file with truehop's inject section, where that is not the listener of ../postfix/master.cf.unix.
	inject string
	// account are lines for truehop's configuration.
	account []string
	// master are the files for master.cf.
	master []string
	// listener is a file with more lines for truehop's listener.
	listener string
	// passed is in Postfix's log for each message that a filter behind the queue has passed on, nil where there is none.
	passed *regexp.Regexp
	// then goes on where truehop has ended. The README's log "later" is of that.
	then func(w *world) outcome
	// findings add to the outcomes what is to be seen in delivered messages.
	findings func(w *world, o outcome)
	// before and after are the cells of the table.
	before, after string
}

const tableHead = "| Filter | Before: fetchmail | After: truehop | Directory |\n|---|---|---|---|\n"

// The table of README.md has a row for each recipe, with what the test sees.
func TestTable(t *testing.T) {
	page := read(t, "README.md")
	_, rest, found := strings.Cut(page, tableHead)
	if !found {
		t.Fatalf("README.md has no table with the head\n%s", tableHead)
	}
	rows := map[string]bool{}
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows[strings.TrimSpace(line)] = true
	}
	for _, r := range recipes() {
		for name := range strings.SplitSeq("ABCD"+r.further, "") {
			if !strings.Contains(page, "\n| "+name+" | ") {
				t.Errorf("README.md does not tell of message %s", name)
			}
		}
		want := fmt.Sprintf("| %s | %s | %s | [%s](%[4]s/README.md) |", r.filter, r.before, r.after, r.dir)
		if !rows[want] {
			t.Errorf("README.md lacks the row\n%s", want)
		}
		delete(rows, want)
	}
	for row := range rows {
		t.Errorf("README.md has a row that no test shows:\n%s", row)
	}
}

// Each recipe does what its README and the table say: the filter judges this host when fetchmail delivers, and the real clients
// when truehop does.
func TestRecipes(t *testing.T) {
	if os.Getenv(truehop) == "" {
		program := filepath.Join(t.TempDir(), "truehop")
		build := exec.Command("go", "build", "-trimpath", "-tags=timetzdata", "-ldflags=-s -w", "-o", program, "../../cmd/truehop") // as a release is
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Setenv(truehop, program)
	}
	if !mailtest.Alone(t) {
		return
	}
	key := mailtest.NewKey(t)
	zone(t, key).Serve(t)
	for _, r := range recipes() {
		t.Run(strings.TrimSuffix(r.dir+" "+r.variant, " "), func(t *testing.T) {
			r.need(t)
			mails, more := four(t, key), further(t, key)
			for name := range strings.SplitSeq(r.further, "") {
				mails = append(mails, more[name])
			}
			w := newWorld(t, r, key, mails)
			before, after := w.byFetchmail(), w.byTruehop(r.account...)
			for _, o := range []outcome{before, after} {
				if r.findings != nil {
					r.findings(w, o)
				}
			}
			if got := w.cell(before); got != r.before {
				t.Errorf("before: %s, want %s", got, r.before)
			}
			if got := w.cell(after); got != r.after {
				t.Errorf("after: %s, want %s", got, r.after)
			}
			page := read(t, filepath.Join(r.dir, "README.md"))
			wantLines(t, page, "before", before.log)
			wantLines(t, page, strings.TrimSuffix("after "+r.variant, " "), after.log)
			if r.then != nil {
				wantLines(t, page, strings.TrimSuffix("later "+r.variant, " "), r.then(w).log)
			}
			if bad := regexp.MustCompile(`(?m)^.* (warning|fatal|panic): .*$`).FindString(w.postfix.Log()); bad != "" {
				t.Errorf("Postfix complains: %s", bad)
			}
			if t.Failed() {
				t.Logf("before:\n%s\nafter:\n%s", before.log, after.log)
			}
		})
	}
}

// need ends the test where the recipe cannot be tried.
func (r recipe) need(t *testing.T) {
	t.Helper()
	skip := t.Skip
	if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		skip = t.Fatal
	}
	for _, program := range append([]string{"fetchmail"}, r.programs...) {
		if _, err := exec.LookPath(program); err != nil {
			skip(err)
		}
	}
}

// wantLines holds the log against the blocks of a README that show lines of it. There "…" stands for any text.
func wantLines(t *testing.T, page, when, log string) {
	t.Helper()
	blocks := regexp.MustCompile("(?ms)^```log "+when+"\n(.*?)^```$").FindAllStringSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Errorf("the README shows no log %s", when)
	}
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSpace(line)
			pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
			if !regexp.MustCompile(pattern).MatchString(log) {
				t.Errorf("%s, no line of the log is\n%s", when, line)
			}
		}
	}
}
