package main

import (
	"bytes"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/manual"
)

// testDocs writes the documentation of a build and returns the names of the pages.
func testDocs(t *testing.T) (dir string, pages []string) {
	t.Helper()
	dir = t.TempDir()
	root := (&program{stdout: io.Discard, stderr: io.Discard}).rootCommand()
	build := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{{Key: "vcs.time", Value: "2026-03-01T12:00:00Z"}}}
	if err := writeDocs(dir, root, build); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "man/man?/*"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, pages
}

// installed returns the path of a program, or ends the test: as a failure where the environment says that everything is installed.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		t.Fatalf("%s is not installed", name)
	} else if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// TestManualHasEveryCommand: there is a page for each command of ours that users see, with all its flags, and truehop(1) names it.
func TestManualHasEveryCommand(t *testing.T) {
	dir, pages := testDocs(t)
	missing := map[string]bool{}
	for _, page := range pages {
		missing[filepath.Base(page)] = true
	}
	overview := readText(t, filepath.Join(dir, "man/man1/truehop.1"))
	commands := (&program{stdout: io.Discard, stderr: io.Discard}).rootCommand().Commands()
	for _, c := range commands {
		if c.Hidden || c.Name() == "completion" {
			continue
		}
		name := "truehop-" + c.Name()
		page := readText(t, filepath.Join(dir, "man/man1", name+".1"))
		delete(missing, name+".1")
		if !strings.Contains(overview, strings.ReplaceAll(name, "-", `\-`)+"(1)") {
			t.Errorf("truehop(1) does not name %s", name)
		}
		wanted := func(f *pflag.Flag) {
			if !strings.Contains(page, `\-\-`+strings.ReplaceAll(f.Name, "-", `\-`)) {
				t.Errorf("%s(1) lacks --%s", name, f.Name)
			}
		}
		c.LocalNonPersistentFlags().VisitAll(wanted)
		c.InheritedFlags().VisitAll(wanted)
	}
	if rest := slices.Sorted(maps.Keys(missing)); !slices.Equal(rest, []string{"truehop.1", "truehop.yaml.5"}) {
		t.Errorf("beside the commands there are pages %q", rest)
	}
}

// TestManualHasEveryKey: truehop.yaml(5) has each key of the reference below the path that it belongs to.
func TestManualHasEveryKey(t *testing.T) {
	keys := config.Reference()
	page := configurationPage(keys, manual.Head{})
	for _, k := range keys {
		section, name := `.SH "TOP LEVEL"`, k.Path
		if i := strings.LastIndexByte(k.Path, '.'); i >= 0 {
			section, name = `.SH "KEYS BELOW `+k.Path[:i]+`"`, k.Path[i+1:]
		}
		_, body, found := strings.Cut(page, section+"\n")
		body, _, _ = strings.Cut(body, "\n.SH ")
		if !found || !strings.Contains("\n"+body, "\n\\fB"+name+"\\fR\n") {
			t.Errorf("%s is not in its section", k.Path)
		}
	}
	if _, err := config.Parse("the example", []byte(exampleConfiguration), configOptions()); err != nil {
		t.Errorf("the example of the page is refused: %v", err)
	}
}

// TestManualHasEveryExitCode: truehop(1) explains the codes that the program ends with.
func TestManualHasEveryExitCode(t *testing.T) {
	var got []string
	for _, e := range exitMeanings() {
		got = append(got, strconv.Itoa(e.code))
	}
	if want := append(exitConstants(t), "129", "130", "143"); !slices.Equal(got, want) {
		t.Errorf("the manual has %q, the program %q", got, want)
	}
}

// TestManualIsWellFormed: mandoc(1), the strictest reader of manual pages, has nothing to warn of.
func TestManualIsWellFormed(t *testing.T) {
	mandoc := installed(t, "mandoc")
	_, pages := testDocs(t)
	lint := func(page string) string {
		out, _ := exec.Command(mandoc, "-T", "lint", "-W", "warning", page).CombinedOutput()
		return string(out)
	}
	for _, page := range pages {
		if found := lint(page); found != "" {
			t.Errorf("%s", found)
		}
	}
	spoilt := filepath.Join(t.TempDir(), "truehop.1")
	text := strings.Replace(readText(t, pages[0]), ".TP\n", ".TQP\n", 1)
	if err := os.WriteFile(spoilt, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if lint(spoilt) == "" {
		t.Error("an unknown macro was not noticed")
	}
}

// TestManualIsReadable: man's reader shows the words of a page as they are typed.
func TestManualIsReadable(t *testing.T) {
	mandoc := installed(t, "mandoc")
	dir, _ := testDocs(t)
	out, err := exec.Command(mandoc, "-T", "utf8", "-O", "width=300", filepath.Join(dir, "man/man1/truehop-run.1")).Output()
	if err != nil {
		t.Fatal(err)
	}
	// Bold is a letter, a backspace and the letter again.
	plain := bytes.Buffer{}
	for i := 0; i < len(out); i++ {
		if i+1 < len(out) && out[i+1] == '\b' {
			i++
			continue
		}
		plain.WriteByte(out[i])
	}
	for _, want := range []string{"truehop-run - make one pass", "truehop run [OPTION...] [ACCOUNT...]", "--dry-run\n", "-q, --quiet\n", "truehop v1.2.3", "2026-03-01"} {
		if !strings.Contains(plain.String(), want) {
			t.Errorf("the page does not show %q:\n%s", want, &plain)
		}
	}
}

// TestCompletionsAreShell: each shell that is installed reads its completions, and bash knows how to ask for them.
func TestCompletionsAreShell(t *testing.T) {
	dir, _ := testDocs(t)
	for shell, script := range map[string]string{
		"bash": "bash-completion/completions/truehop", "zsh": "zsh/vendor-completions/_truehop", "fish": "fish/vendor_completions.d/truehop.fish",
	} {
		t.Run(shell, func(t *testing.T) {
			text := readText(t, filepath.Join(dir, script))
			if !strings.Contains(text, "__complete") {
				t.Errorf("the completion asks the program for nothing:\n%s", text)
			}
			if out, err := exec.Command(installed(t, shell), "-n", filepath.Join(dir, script)).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestHelpFitsATerminal: no line of the help of any command is wider than 80 columns, and no word of it is lost for that.
func TestHelpFitsATerminal(t *testing.T) {
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		var out strings.Builder
		c.SetOut(&out)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s --help: %d columns: %s", c.CommandPath(), n, line)
			}
		}
		said := strings.Join(strings.Fields(out.String()), " ")
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if _, usage := pflag.UnquoteUsage(f); !f.Hidden && !strings.Contains(said, usage) {
				t.Errorf("%s --help does not say %q", c.CommandPath(), usage)
			}
		})
		for _, below := range c.Commands() {
			look(below)
		}
	}
	p := &program{}
	look(p.rootCommand())
}
