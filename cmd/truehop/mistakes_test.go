package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMistakes runs testdata/mistakes: what a newcomer gets wrong, one mistake in each script. The program says once what is wrong,
// and with it what to do next.
func TestMistakes(t *testing.T) {
	testscript.Run(t, scriptParams("testdata/mistakes"))
}

// mistake CODE CAUSE STEP COMMAND ARGS... runs a command, and wants this exit code, one line that fits the expression CAUSE, and one
// that fits STEP: the same line, behind the cause, or the next one. Lines of the log below ERROR are no messages of the kind.
func mistake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: mistake CODE CAUSE STEP COMMAND [ARG...]")
	}
	exitIs(ts, false, append([]string{args[0]}, args[3:]...))
	cause, err := regexp.Compile(args[1])
	ts.Check(err)
	step, err := regexp.Compile(args[2])
	ts.Check(err)
	said := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	lines := slices.DeleteFunc(strings.Split(said, "\n"), func(line string) bool {
		return strings.Contains(line, " level=INFO ") || strings.Contains(line, " level=WARN ")
	})
	var at []int
	for i, line := range lines {
		if cause.MatchString(line) {
			at = append(at, i)
		}
	}
	if len(at) != 1 {
		ts.Fatalf("the cause %q is said %d times, want once, in\n%s", cause, len(at), said)
	}
	line := lines[at[0]]
	behind := line[cause.FindStringIndex(line)[0]:] + "\n" + strings.Join(lines[at[0]+1:min(at[0]+2, len(lines))], "")
	if !step.MatchString(behind) {
		ts.Fatalf("what to do, %q, is not said with the cause in\n%s", step, said)
	}
}
