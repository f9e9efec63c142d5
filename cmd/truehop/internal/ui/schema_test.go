package ui

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
)

var update = flag.Bool("update", false, "rewrite the generated part of README.md")

const (
	readme       = "../../../../README.md"
	schemaBegins = "<!-- json begins -->\n"
	schemaEnds   = "<!-- json ends -->\n"
)

// schema is the table of all keys of the objects that scripts read.
func schema() string {
	var b strings.Builder
	b.WriteString("\n| object | keys |\n|---|---|\n")
	for _, o := range []struct {
		name   string
		object any
	}{
		{"`check --json`", Checked{}}, {"below `findings`", Finding{}},
		{"`status --json`", AccountStatus{}}, {"`pass`", PassStatus{}}, {"`login_refused`", LoginStatus{}}, {"below `open`", MessageStatus{}},
		{"`history --json`", recordJSON{}}, {"`message`", headingJSON{}}, {"below `verdicts`", ledger.Verdict{}},
		{"`providers --json`", config.Published{}}, {"`config show --json`", config.Setting{}},
		{"`accounts list --json`", AccountRow{}}, {"`run --report`", Report{}}, {"below `accounts`", AccountReport{}},
	} {
		var keys []string
		for f := range reflect.TypeOf(o.object).Fields() {
			tag := f.Tag.Get("json")
			if tag == "" || tag == "-" {
				continue
			}
			keys = append(keys, fmt.Sprintf("`%s` %s", tag, kindOf(f.Type)))
		}
		fmt.Fprintf(&b, "| %s | %s |\n", o.name, strings.Join(keys, ", "))
	}
	return b.String() + "\n"
}

// kindOf names the type of a key's value for a person.
func kindOf(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return kindOf(t.Elem()) + " or null"
	case t.String() == "time.Time":
		return "time"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
		return "object"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String, t == reflect.TypeFor[Level]():
		return "text"
	}
	return "number"
}

// TestJSONSchema: the README has every key of every object that a script can read, with the type of its value.
func TestJSONSchema(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begins := strings.Cut(string(text), schemaBegins)
	old, tail, ends := strings.Cut(rest, schemaEnds)
	if !begins || !ends {
		t.Fatal("the README has no place for it")
	}
	want := schema()
	if *update {
		if err := os.WriteFile(readme, []byte(head+schemaBegins+want+schemaEnds+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != want {
		t.Errorf("the README is old (go test -run JSONSchema -update rewrites it); it should say\n%s", want)
	}
}
