package main

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
)

var update = flag.Bool("update", false, "rewrite the generated part of README.md")

// readmes are the documents whose commands, configurations and links are held against the program.
var readmes = [...]string{root + "/README.md", root + "/examples/README.md", root + "/examples/postfix/README.md", root + "/examples/monitoring/README.md",
	root + "/examples/benchmark/README.md", root + "/examples/comparison.md", root + "/examples/oauth2.md", root + "/examples/leaving/gmail-collector.md", root + "/examples/leaving/hoster-forwarding.md",
	root + "/examples/stacks/README.md", root + "/examples/stacks/mailu/README.md", root + "/examples/stacks/mailcow/README.md",
	root + "/examples/stacks/docker-mailserver/README.md", root + "/examples/stacks/iredmail/README.md", root + "/examples/stacks/modoboa/README.md",
	root + "/examples/stacks/proxmox-mail-gateway/README.md", root + "/examples/stacks/mail-in-a-box/README.md", root + "/examples/stacks/debian/README.md",
	root + "/examples/fleet/README.md", root + "/examples/stacks/fedora/README.md", root + "/examples/stacks/freebsd/README.md"}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the fenced blocks of a document that are marked as being in this language,
// without the indentation of their fences.
func blocks(text, language string) []string {
	var found []string
	fence := regexp.MustCompile("(?ms)^( *)```" + regexp.QuoteMeta(language) + "\n(.*?)^ *```$")
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		lines := strings.SplitAfter(m[2], "\n")
		for i, l := range lines {
			lines[i] = strings.TrimPrefix(l, m[1])
		}
		found = append(found, strings.Join(lines, ""))
	}
	return found
}

// spans returns what stands between backticks on one line, outside of fenced blocks.
func spans(text string) []string {
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "")
	var found []string
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// tableRows returns the cells of the table below a heading, without its head.
func tableRows(t *testing.T, text, heading string) [][]string {
	t.Helper()
	_, section, ok := strings.Cut("\n"+text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("there is no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for line := range strings.Lines(section) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) > 2 {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells[1:len(cells)-1])
		}
	}
	if len(rows) < 3 {
		t.Fatalf("below %q there is no table", heading)
	}
	return rows[2:]
}

// TestReadmeConfigurations: what the documents show as a configuration is one.
func TestReadmeConfigurations(t *testing.T) {
	shown := 0
	parse := func(path, text string) {
		shown++
		c, err := config.Parse(filepath.Base(path), []byte(text), configOptions())
		if err != nil {
			t.Errorf("%s: this is refused:\n%s%v", path, text, err)
		} else if len(c.Warnings) > 0 && filepath.Base(filepath.Dir(path)) != "postfix" {
			t.Errorf("%s: this warns of %v:\n%s", path, c.Warnings, text)
		}
	}
	minimal := readText(t, root+"/examples/minimal.yaml")
	for _, path := range readmes {
		text := readText(t, path)
		for _, block := range blocks(text, "yaml") {
			parse(path, block)
		}
		for _, span := range spans(text) {
			if strings.HasPrefix(span, "inject: ") {
				parse(path, span+"\n"+minimal)
			}
		}
	}
	if shown < 2 {
		t.Errorf("only %d configurations found: is the search right?", shown)
	}
}

// TestReadmeQuotes: what the README says that the program says, it says.
func TestReadmeQuotes(t *testing.T) {
	var said strings.Builder
	ui.PrintAwaited(&said, 1)
	var found ui.Checked
	found.Folder("INBOX", &fetch.Listing{Unlisted: 2})
	found.Print(&said, true)
	text := readText(t, root+"/README.md")
	for _, words := range []string{"waiting for the MTA's reply about 1 message; press Ctrl-C again to stop now", "the server counts 2 more and does not list them"} {
		if !strings.Contains(said.String(), words) || !slices.Contains(spans(text), words) {
			t.Errorf("the README quotes %q: %v; the program says\n%s", words, slices.Contains(spans(text), words), &said)
		}
	}
	if !slices.Contains(spans(text), fetch.DeliveredKeyword) {
		t.Errorf("the README does not name the keyword %s", fetch.DeliveredKeyword)
	}
}

// asTruehop is what stands before a command that is to run as the user truehop, with its environment or its credentials.
var asTruehop = regexp.MustCompile(`^(sudo -u truehop ([A-Z_]+=\S* )*|systemd-run .*-p LoadCredential=\S+ )`)

// TestReadmeCommands: every command line shown is one that the program understands.
func TestReadmeCommands(t *testing.T) {
	shown := 0
	for _, path := range readmes {
		text := readText(t, path)
		var lines []string
		for _, block := range blocks(text, "console") {
			for line := range strings.Lines(block) {
				command, ok := strings.CutPrefix(line, "$ ")
				if !ok {
					t.Errorf("%s: a console line without its prompt: %q", path, line)
				}
				lines = append(lines, strings.TrimSpace(command))
			}
		}
		for _, line := range append(lines, spans(text)...) {
			if args, ok := strings.CutPrefix(asTruehop.ReplaceAllString(line, ""), "truehop "); ok {
				shown++
				if err := understood(strings.Fields(args)); err != nil {
					t.Errorf("%s: %s: %v", path, line, err)
				}
			}
		}
	}
	if shown < 10 {
		t.Errorf("only %d command lines found: is the search right?", shown)
	}
}

// understood finds the subcommand of a command line and reads its flags, without running it.
func understood(args []string) error {
	p := &program{stdout: io.Discard, stderr: io.Discard}
	c, rest, err := p.rootCommand().Find(args)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil || len(rest) == 0 {
		return err // a bare command may be the mention of one
	}
	return c.ValidateArgs(c.Flags().Args())
}

// TestReadmeCommandTable: the table has every command, and with each all its flags, and nothing else.
func TestReadmeCommandTable(t *testing.T) {
	p := &program{stdout: io.Discard, stderr: io.Discard}
	missing, rows := map[string]*cobra.Command{}, map[string]string{}
	for _, c := range p.rootCommand().Commands() {
		if !c.Hidden && c.Name() != "completion" {
			missing[c.Name()] = c
		}
	}
	for _, row := range tableRows(t, readText(t, readmes[0]), "## Commands") {
		words := strings.Fields(strings.Trim(row[0], "`"))
		if len(words) < 2 || missing[words[1]] == nil {
			t.Errorf("%s: no such command", row[0])
			continue
		}
		rows[words[1]] += strings.Join(row, " ")
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if rows[name] == "" {
			t.Errorf("the table lacks the command %s", name)
			continue
		}
		commands := []*cobra.Command{missing[name]}
		if below := missing[name].Commands(); len(below) > 0 { // it is nothing by itself
			commands = below
		}
		wantFlags(t, commands, rows[name])
	}
}

// wantFlags holds the flags in the row of some commands against those that they have.
func wantFlags(t *testing.T, commands []*cobra.Command, row string) {
	t.Helper()
	shown := map[string]bool{}
	for _, m := range regexp.MustCompile("[`\\[ ]--([a-z-]+)").FindAllStringSubmatch(row, -1) {
		shown[m[1]] = true
		if !slices.ContainsFunc(commands, func(c *cobra.Command) bool { return c.Flags().Lookup(m[1]) != nil }) {
			t.Errorf("%s has no flag --%s", commands[0].CommandPath(), m[1])
		}
	}
	for _, c := range commands {
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !shown[f.Name] {
				t.Errorf("the table lacks the flag --%s of %s", f.Name, c.Name())
			}
		})
	}
}

// TestReadmeExitCodes: the table has the codes of exit.go and those of the three signals.
func TestReadmeExitCodes(t *testing.T) {
	signals := []string{"129", "130", "143"}
	want := append(exitConstants(t), signals...)
	var got []string
	for _, row := range tableRows(t, readText(t, readmes[0]), "## Exit codes") {
		got = append(got, strings.Split(row[0], ", ")...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table has %q, the program %q", got, want)
	}
	if codes := len(want) - len(signals); codes != len(severity) {
		t.Errorf("%d exit codes, and %d have a place in the order of severity", codes, len(severity))
	}
}

// exitConstants are the values of the constants in exit.go, in their order.
func exitConstants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		for _, s := range decl.Specs {
			spec, isValue := s.(*ast.ValueSpec)
			if !isValue || !strings.HasPrefix(spec.Names[0].Name, "exit") {
				continue
			}
			if lit, isLit := spec.Values[0].(*ast.BasicLit); isLit {
				values = append(values, lit.Value)
			}
		}
	}
	return values
}

// TestReadmeLinks: files that the documents link to are there.
func TestReadmeLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)\)`)
	for _, path := range readmes {
		for _, m := range link.FindAllStringSubmatch(readText(t, path), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// TestReadmeListener: the listener in the README is the one that the tests of examples run in a real
// Postfix, without its comments.
func TestReadmeListener(t *testing.T) {
	shown := blocks(readText(t, readmes[0]), "master.cf")
	if len(shown) != 1 {
		t.Fatalf("%d blocks of master.cf, want 1", len(shown))
	}
	run := settings(readText(t, root+"/examples/postfix/master.cf.unix"))
	if got := settings(shown[0]); !slices.Equal(got, run) {
		t.Errorf("the README shows\n  %s\nexamples/postfix/master.cf.unix says\n  %s", strings.Join(got, "\n  "), strings.Join(run, "\n  "))
	}
}

// settings are the lines of a Postfix file that are no comment, with single spaces.
func settings(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			lines = append(lines, strings.Join(fields, " "))
		}
	}
	return lines
}

// TestPostfixReadme: every setting that it explains is in the recipes.
func TestPostfixReadme(t *testing.T) {
	recipes := ""
	for _, name := range []string{"master.cf.unix", "master.cf.tcp", "main.cf"} {
		recipes += readText(t, root+"/examples/postfix/"+name)
	}
	explained := 0
	for _, row := range tableRows(t, readText(t, readmes[2]), "## Why so") {
		for _, setting := range spans(row[0]) {
			if strings.Contains(setting, "/") {
				continue // a place, not a setting
			}
			explained++
			if !strings.Contains(recipes, setting) {
				t.Errorf("%s is in none of the recipes", setting)
			}
		}
	}
	if explained < 5 {
		t.Errorf("only %d settings found: is the search right?", explained)
	}
}

// TestExamplesReadme: its table has every example, and nothing else.
func TestExamplesReadme(t *testing.T) {
	entries, err := os.ReadDir(root + "/examples")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == "README.md", name == "mailtest", strings.HasSuffix(name, ".go"):
		case e.IsDir():
			missing[name+"/"] = true
		default:
			missing[strings.TrimSuffix(name, ".yaml")] = true
		}
	}
	for _, row := range tableRows(t, readText(t, readmes[1]), "# Examples") {
		for _, name := range spans(row[0]) {
			name = strings.TrimSuffix(name, ".yaml")
			if !missing[name] {
				t.Errorf("%s is no example, or there twice", name)
			}
			delete(missing, name)
		}
	}
	for name := range missing {
		t.Errorf("the table lacks %s", name)
	}
}
