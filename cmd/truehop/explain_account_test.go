package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/received"
)

// TestColours: only a terminal gets them, and only one that wants them.
func TestColours(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to be had here: %v", err)
	}
	defer terminal.Close()
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		name    string
		out     io.Writer
		noColor string
		want    bool
	}{
		{"terminal", terminal, "", true},
		{"terminal and NO_COLOR", terminal, "1", false},
		{"file", file, "", false},
		{"buffer", &bytes.Buffer{}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", c.noColor)
			if got := colours(c.out); got != c.want {
				t.Errorf("colours %v, want %v", got, c.want)
			}
		})
	}
}

// TestExplainLiveTroubles: a message that cannot be had does not keep the others back, and is told; one that
// breaks in the middle ends it.
func TestExplainLiveTroubles(t *testing.T) {
	var out bytes.Buffer
	x := &liveExplainer{
		account: &config.Account{Name: "work", Folders: []string{"INBOX", "Junk"}},
		opts:    explainOptions{Last: 9}, how: app.DefaultPresenter(received.Policy{MX: []string{"mx.example.net"}}),
		out: &out, several: true,
	}
	gone := &fetch.Error{Kind: fetch.Gone, Op: "FETCH"}
	for _, m := range []fetch.Message{
		{Ref: fetch.Ref{Folder: "INBOX", UID: "1"}, Err: gone},
		{Ref: fetch.Ref{Folder: "INBOX", UID: "2"}, Body: bytes.NewReader(scriptMail(2))},
		{Ref: fetch.Ref{Folder: "Junk", Seq: 3}, Body: bytes.NewReader([]byte("Subject: no trace\r\n\r\n"))},
		{Ref: fetch.Ref{Folder: "Junk", UID: "4\x1b[31m"}, Err: &fetch.Error{Kind: fetch.TooLarge, Op: "FETCH"}},
	} {
		if err := x.take(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	err := x.end()
	if !errors.Is(err, gone) || !strings.Contains(err.Error(), "work/INBOX/1") || !strings.Contains(err.Error(), "2 messages could not be fetched") {
		t.Errorf("the error is %v", err)
	}
	for _, want := range []string{"\nclient       1         work/INBOX/2  ", "\nno-received  1         work/Junk/#3  ", "\nnot fetched  2\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	large := &fetch.Error{Kind: fetch.TooLarge, Op: "RETR"}
	if err := x.take(t.Context(), fetch.Message{Body: io.MultiReader(strings.NewReader("Subject"), &failing{large})}); err != nil || x.failures != 3 {
		t.Errorf("a message that turns out too large gives %v, and %d failures", err, x.failures)
	}
	broken := errors.New("connection lost")
	if err := x.take(t.Context(), fetch.Message{Body: io.MultiReader(strings.NewReader("Subject"), &failing{broken})}); !errors.Is(err, broken) {
		t.Errorf("half a message gives %v", err)
	}
}

// failing is a connection that is lost.
type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
