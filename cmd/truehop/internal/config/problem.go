package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Error says all that is wrong with a configuration. It is a matter of EX_CONFIG (78).
type Error struct {
	// Problems in the order of the file, those of the environment last.
	Problems []Problem
	// Err is the error of the file system, if that is what is wrong.
	Err error
}

// Problem is one thing to put right.
type Problem struct {
	// Source is the file's name or "environment NAME", "" where neither is to blame.
	Source string
	// Line and Column count from 1; 0 where there is no such place.
	Line, Column int
	// Key is the path of the key, such as accounts.work.host, or "".
	Key string
	// Text is what is wrong; what to do.
	Text string
}

// Error returns one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// String returns source:line:column: key: text, without what is not known.
func (p Problem) String() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	// A file's control and direction characters stay off the terminal.
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, b.String())
}

// place is where a value was written.
type place struct {
	source       string
	line, column int
}

// report gathers the problems and warnings of one configuration.
type report struct {
	name     string           // of the file
	places   map[string]place // of the keys that were given, by path
	beneath  map[string]place // those of the files, for a row of a table
	bad      map[string]bool  // paths with a problem, or that a misspelt key stands for
	problems []Problem
	warnings []Problem
	// flat are the paths of keys of a target that stand directly below inject; named says that targets with names do.
	flat  []string
	named bool
}

// add notes a problem at p. One key has one problem: what follows from
// the first would only confuse.
func (r *report) add(p place, path, format string, args ...any) {
	if r.bad[path] && path != "" {
		return
	}
	r.bad[path] = true
	r.problems = append(r.problems, problem(p, path, format, args...))
}

// wrong notes a problem of the key at path, where it was given or where it is missing.
func (r *report) wrong(path, format string, args ...any) {
	r.add(r.placeOf(path), path, format, args...)
}

// warn notes what is allowed but unwise.
func (r *report) warn(path, format string, args ...any) {
	r.warnings = append(r.warnings, problem(r.placeOf(path), path, format, args...))
}

func problem(p place, path, format string, args ...any) Problem {
	return Problem{Source: p.source, Line: p.line, Column: p.column,
		Key: shown(path), Text: fmt.Sprintf(format, args...)}
}

// placeOf returns where the key at path was written: for an account's key
// perhaps under defaults, for a missing one the innermost mapping that should hold it.
func (r *report) placeOf(path string) place {
	if p, ok := r.place(path); ok {
		return p
	}
	if parts := strings.SplitN(path, "/", 3); len(parts) == 3 && parts[0] == "accounts" {
		if p, ok := r.place("defaults/" + parts[2]); ok {
			return p
		}
	}
	for path != "" {
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
		if p, ok := r.place(path); ok {
			return p
		}
	}
	return place{source: r.name}
}

// place returns where exactly this key was written.
func (r *report) place(path string) (place, bool) {
	p, ok := r.places[path]
	if !ok {
		p, ok = r.beneath[path]
	}
	return p, ok
}

// given reports whether the key at path was written in the file or the environment.
func (r *report) given(path string) bool {
	_, ok := r.place(path)
	return ok
}

// err returns the problems as one error, nil if there are none.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	part := func(p Problem) int {
		switch {
		case p.Source == r.name:
			return 0
		case strings.HasPrefix(p.Source, "environment "):
			return 2
		}
		return 1 // of conf.d
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(part(a), part(b)), cmp.Compare(fileOf(a), fileOf(b)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	return &Error{Problems: r.problems}
}

// fileOf is the file that a problem is in, "" where it is in the environment, whose variables have no order.
func fileOf(p Problem) string {
	if p.Line == 0 {
		return ""
	}
	return p.Source
}

// shown is path as a person writes it: accounts.work.folders[1].
func shown(path string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(path, "/") {
		if b.Len() > 0 && !strings.HasPrefix(part, "[") {
			b.WriteByte('.')
		}
		b.WriteString(part)
	}
	return b.String()
}

// renamed returns our key for what other programs call theirs, "" if there is none.
func renamed(name string) string {
	switch name {
	case "account", "mailboxes", "poll":
		return "accounts"
	case "server", "hostname":
		return "host"
	case "username", "login":
		return "user"
	case "pass", "passwd":
		return "password_file"
	case "passwordeval", "password_eval", "passwordcmd":
		return "password_command"
	case "ssl":
		return "tls"
	case "sslproto":
		return "tls_min_version"
	case "sslcertfile":
		return "tls_ca_file"
	case "folder", "mailbox":
		return "folders"
	case "recipient", "rcpt", "to":
		return "recipients"
	case "limit", "maxsize":
		return "max_size"
	case "interval", "cron":
		return "schedule"
	case "delete", "keep", "delivered":
		return "on_delivered"
	case "refused":
		return "on_refused"
	case "smtphost":
		return "address"
	case "mta", "smtp", "target", "targets":
		return "inject"
	case "dns":
		return "resolver"
	}
	return ""
}

// nearest returns the candidate that was probably meant by name, "" if none comes close.
func nearest(name string, candidates []string) string {
	low := strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	if to := renamed(low); slices.Contains(candidates, to) {
		return to
	}
	return Similar(low, candidates)
}

// Similar returns the candidate that is spelt nearly like name, in any case, "" if none comes close.
func Similar(name string, candidates []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	prev2, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}
