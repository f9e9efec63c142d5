package main

import (
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/schedule"
)

// TestReadmeWays: the line of each way is one that cron, systemd or the container's engine would take: times that come, a command that the
// program understands, a unit or a file that is there.
func TestReadmeWays(t *testing.T) {
	units := regexp.MustCompile(`truehop@?\w*\.(service|timer)`)
	text := readText(t, readmes[0])
	ways := map[string]int{}
	for _, row := range tableRows(t, text, "## Which way for me")[:5] {
		ways[row[1]]++
		line := spans(row[2])[0]
		switch row[1] {
		case "cron":
			fields := strings.Fields(line)
			if _, err := schedule.Parse(strings.Join(fields[:5], " ")); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			command := fields[5:]
			if slices.Contains(spans(row[2]), "/etc/cron.d/truehop") {
				command = command[1:] // behind the user
			}
			if command[0] != "/usr/local/bin/truehop" {
				t.Errorf("%s: cron does not find the program", line)
			}
			if err := understood(command[1:]); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		case "service", "timer":
			unit := strings.Replace(units.FindString(line), "@work", "@", 1)
			if _, err := os.Stat(root + "/systemd/" + unit); unit == "" || err != nil {
				t.Errorf("%s: there is no such unit: %v", line, err)
			}
		case "container":
			if _, err := os.Stat(root + "/examples/container/compose.yaml"); err != nil {
				t.Error(err)
			}
		}
	}
	for _, way := range []string{"cron", "timer", "service", "container"} {
		if ways[way] == 0 {
			t.Errorf("there is no line for %s", way)
		}
	}
}

// TestReadmeCompletion: each line prints a script for a shell, and bash, where it is installed, takes it.
func TestReadmeCompletion(t *testing.T) {
	shown := blocks(readText(t, readmes[0]), "sh")
	if len(shown) != 1 {
		t.Fatalf("%d blocks of sh in the README, want 1", len(shown))
	}
	for _, m := range regexp.MustCompile(`truehop completion (\w+)`).FindAllStringSubmatch(shown[0], -1) {
		var script strings.Builder
		if code := run([]string{"completion", m[1]}, strings.NewReader(""), &script, io.Discard); code != exitOK || !strings.Contains(script.String(), "truehop") {
			t.Errorf("%s: exit code %d and %d octets", m[0], code, script.Len())
		}
		shell, err := exec.LookPath(m[1])
		if err != nil || m[1] != "bash" {
			continue
		}
		c := exec.CommandContext(t.Context(), shell, "--norc", "-c", "eval \"$(cat)\"; complete -p truehop")
		c.Stdin = strings.NewReader(script.String())
		if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "complete ") {
			t.Errorf("bash does not take the script: %v\n%s", err, out)
		}
	}
}

// TestReadmeRefusal: each part that is explained stands in what the demo says of one refused message, or is the state of another.
func TestReadmeRefusal(t *testing.T) {
	refusal := ""
	for part := range strings.SplitSeq(strings.Join(strings.Fields(demoInReadme(t)), " "), " -> ") {
		if strings.Contains(part, "dyn-66") {
			refusal = part
		}
	}
	for _, row := range tableRows(t, readText(t, readmes[0]), "## How to read a refusal") {
		if part := spans(row[0])[0]; !strings.Contains(refusal, part) {
			t.Errorf("%q is not in %q", part, refusal)
		}
	}
}

// TestReadmeTenWords: they are ten, and words of the program.
func TestReadmeTenWords(t *testing.T) {
	_, words, _ := strings.Cut(readText(t, "doc.go"), "// # Words\n")
	words, _, _ = strings.Cut(words, "// # ")
	rows := tableRows(t, readText(t, readmes[0]), "## Ten words")
	if len(rows) != 10 {
		t.Errorf("the words are %d", len(rows))
	}
	for _, row := range rows {
		if !regexp.MustCompile(`(?m)^//\t` + regexp.QuoteMeta(row[0]) + ` {2}`).MatchString(words) {
			t.Errorf("%q is no word of doc.go", row[0])
		}
	}
}

// TestReadmeChecksAsTheService: where root makes the password file the service's own, nobody is told to check as root, who would not believe it.
func TestReadmeChecksAsTheService(t *testing.T) {
	shown := 0
	for _, path := range append(readmes[:], root+"/systemd/truehop.service") {
		var page strings.Builder
		for line := range strings.Lines(readText(t, path)) {
			page.WriteString(strings.TrimLeft(line, "$# "))
		}
		text := page.String()
		if !strings.Contains(text, "install -m 0600 -o truehop") && !strings.Contains(text, "systemd-sysusers") {
			continue
		}
		shown++
		if !strings.Contains(text, "\nsudo -u truehop truehop check") || strings.Contains(text, "\ntruehop check") {
			t.Errorf("%s has root check", path)
		}
	}
	if shown < 4 {
		t.Errorf("only %d pages found: is the search right?", shown)
	}
}

// TestReadmeContents: the table of contents has every section, in order, and a blank line is before each.
func TestReadmeContents(t *testing.T) {
	text := readText(t, readmes[0])
	_, contents, _ := strings.Cut(text, "\nContents: ")
	contents, _, _ = strings.Cut(contents, "\n\n")
	var listed, sections []string
	for _, m := range regexp.MustCompile(`\[([^]]+)\]\(#`).FindAllStringSubmatch(contents, -1) {
		listed = append(listed, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)(.*)\n## (.*)$`).FindAllStringSubmatch(text, -1) {
		sections = append(sections, m[2])
		if m[1] != "" {
			t.Errorf("no blank line before %q", m[2])
		}
	}
	if !slices.Equal(listed, sections) || len(sections) == 0 {
		t.Errorf("the contents are\n%q, the sections\n%q", listed, sections)
	}
}
