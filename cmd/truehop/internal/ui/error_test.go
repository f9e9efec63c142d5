package ui

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestPrintError: every error says what it is, and where something can be done, what.
func TestPrintError(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&fetch.Error{Kind: fetch.Auth, Op: "LOGIN", Advice: "look at the password"}, "truehop: LOGIN: auth\n  look at the password\n"},
		{errors.New("odd"), "truehop: odd\n"},
		{&config.Error{Problems: []config.Problem{{Source: "f.yaml", Line: 3, Column: 5, Key: "a", Text: "b"}}}, "truehop: the configuration is refused:\nf.yaml:3:5: a: b\n"},
		{&config.Error{Problems: []config.Problem{{Key: "accounts.work.tls_ca_file", Text: "no such file"}}}, "truehop: accounts.work.tls_ca_file: no such file\n"},
		{&config.Error{Problems: []config.Problem{{Text: "no configuration in /etc"}}}, "truehop: no configuration in /etc\n"},
	} {
		var b bytes.Buffer
		PrintError(&b, c.err)
		if b.String() != c.want {
			t.Errorf("%v: got %q, want %q", c.err, &b, c.want)
		}
	}
}

// TestSuggestOwner: the command to type is a command line for a shell.
func TestSuggestOwner(t *testing.T) {
	foreign := &ledger.Error{Kind: ledger.Permission, Op: "x", Owner: "alice", Advice: "old"}
	for _, c := range []struct {
		err  error
		args []string
		want string
	}{
		{foreign, []string{"run"}, "run it as that user: sudo -u alice truehop run"},
		{fmt.Errorf("y: %w", foreign), []string{"run", "--quiet", "-c", "/a b/$c"}, `run it as that user: sudo -u alice truehop run --quiet -c '/a b/$c'`},
		{&ledger.Error{Owner: "#1234"}, []string{"run", ""}, `run it as that user: sudo -u '#1234' truehop run ''`},
		{&ledger.Error{Advice: "old"}, []string{"run"}, "old"},
		{errors.New("z"), []string{"run"}, ""},
	} {
		var b bytes.Buffer
		PrintError(&b, SuggestOwner(c.err, c.args))
		said, hint, _ := strings.Cut(b.String(), "\n")
		if said != "truehop: "+c.err.Error() || strings.TrimSpace(hint) != c.want {
			t.Errorf("%v %q: got %q and %q, want %q", c.err, c.args, said, hint, c.want)
		}
	}
}

// TestHint: every type of error says itself what to do, and the first that does so wins.
func TestHint(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, ""},
		{"no advice", errors.New("x"), ""},
		{"upstream", &fetch.Error{Advice: "a"}, "a"},
		{"MTA", &inject.Error{Advice: "b"}, "b"},
		{"ledger", &ledger.Error{Advice: "c"}, "c"},
		{"pass", &transfer.Error{Advice: "d"}, "d"},
		{"wrapped", fmt.Errorf("x: %w", &fetch.Error{Advice: "a"}), "a"},
		{"below one that says nothing", &fetch.Error{Err: &ledger.Error{Advice: "c"}}, "c"},
		{"the outer one", &fetch.Error{Advice: "a", Err: &ledger.Error{Advice: "c"}}, "a"},
		{"joined", errors.Join(errors.New("x"), fmt.Errorf("y: %w", &inject.Error{Advice: "b"}), &fetch.Error{Advice: "a"}), "b; a"},
		{"joined, and alike", errors.Join(&fetch.Error{Advice: "a"}, &fetch.Error{Advice: "a"}), "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Hint(c.err); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
