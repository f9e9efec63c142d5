package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

const (
	referenceBegins = "<!-- reference begins -->\n"
	referenceEnds   = "<!-- reference ends -->\n"
)

// TestReadmeReference: the reference in the README is what the configuration says of itself.
func TestReadmeReference(t *testing.T) {
	text := readText(t, readmes[0])
	head, rest, begins := strings.Cut(text, referenceBegins)
	old, tail, ends := strings.Cut(rest, referenceEnds)
	if !begins || !ends {
		t.Fatal("the README has no place for the reference")
	}
	want := reference(config.Reference())
	if *update {
		if err := os.WriteFile(readmes[0], []byte(head+referenceBegins+want+referenceEnds+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	is, should := strings.Split(old, "\n"), strings.Split(want, "\n")
	for i, line := range should {
		if i >= len(is) || is[i] != line {
			t.Fatalf("the reference in the README is old (go test -run Reference -update rewrites it); line %d should be\n%s", i+1, line)
		}
	}
	if len(is) > len(should) {
		t.Errorf("the reference in the README is too long (go test -run Reference -update rewrites it)")
	}
}

// referenceSections are the tables of the reference, in their order.
func referenceSections() []struct{ path, title, intro string } {
	return []struct{ path, title, intro string }{
		{"", "Top level", ""},
		{"inject", "inject: the way into the MTA", "Directly below `inject`, or below the name of a target there. See [Several targets](#several-targets)."},
		{"accounts.NAME", "accounts: the mailboxes", "The keys of each account, below its name. An account needs `host`, `user`, one source of its password (or of OAuth 2 tokens), and `recipients` (or `recipient_from`)."},
		{"accounts.NAME.oauth", "oauth, below an account", "In place of a password. See [OAuth 2](#oauth-2-in-place-of-a-password)."},
		{"resolver", "resolver", ""},
		{"log", "log", ""},
	}
}

// reference renders the keys as one table for each section.
func reference(keys []config.Key) string {
	var b strings.Builder
	for _, s := range referenceSections() {
		fmt.Fprintf(&b, "\n### %s\n\n", s.title)
		if s.intro != "" {
			fmt.Fprintf(&b, "%s\n\n", s.intro)
		}
		b.WriteString("| key | default | meaning |\n|---|---|---|\n")
		for _, k := range keys {
			section, name := "", k.Path
			if i := strings.LastIndexByte(k.Path, '.'); i >= 0 {
				section, name = k.Path[:i], k.Path[i+1:]
			}
			if section == s.path {
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, code(k.Default), meaning(k))
			}
		}
	}
	return b.String() + "\n"
}

// meaning is a key's paragraph, what it takes behind it.
func meaning(k config.Key) string {
	text := strings.NewReplacer("|", `\|`, "*", `\*`, "<", `\<`).Replace(k.Doc)
	switch {
	case k.Values != "":
		var values []string
		for v := range strings.SplitSeq(k.Values, "|") {
			values = append(values, code(v))
		}
		text += " One of " + strings.Join(values, ", ") + "."
	case k.Type != "text":
		text += " *(" + k.Type + ")*"
	}
	return text
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// TestReferenceIsWhole: no key is left out for want of a section, and none breaks its table.
func TestReferenceIsWhole(t *testing.T) {
	keys := config.Reference()
	text := reference(keys)
	for _, k := range keys {
		name := k.Path[strings.LastIndexByte(k.Path, '.')+1:]
		if !strings.Contains(text, "\n| `"+name+"` | ") {
			t.Errorf("%s is in no table", k.Path)
		}
	}
	for line := range strings.Lines(text) {
		if n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); strings.HasPrefix(line, "|") && n != 4 {
			t.Errorf("%d bars: %s", n, line)
		}
	}
	if got := strings.Count(text, "\n| `"); got != len(keys) {
		t.Errorf("%d rows for %d keys", got, len(keys))
	}
}
