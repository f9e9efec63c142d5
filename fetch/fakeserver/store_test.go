package fakeserver_test

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
)

func TestStore(t *testing.T) {
	s := fakeserver.NewStore()
	s.Create("Done")
	if got := s.Folders(); !slices.Equal(got, []string{"Done", "INBOX"}) {
		t.Errorf("folders: %v", got)
	}
	for _, raw := range []string{"one", "two", "three"} {
		s.Add("inbox", []byte(raw))
	}
	changed := s.Changed()
	if n := s.Remove("", 2, 9); n != 1 {
		t.Errorf("removed %d, want 1", n)
	}
	select {
	case <-changed:
	default:
		t.Error("Changed did not tell of the removal")
	}
	if uid := s.Add("", []byte("four")); uid != 4 || !slices.Equal(s.UIDs("INBOX"), []uint32{1, 3, 4}) {
		t.Errorf("UIDs %v after adding %d: a UID was used again", s.UIDs(""), uid)
	}
	if !s.Update("", 3, func(m *fakeserver.Message) { m.Flags = append(m.Flags, `\Seen`) }) || s.Update("", 2, func(*fakeserver.Message) {}) {
		t.Error("Update found the wrong messages")
	}
	m, ok := s.Get("", 3)
	if !ok || string(m.Raw()) != "three" || !slices.Equal(m.Flags, []string{`\Seen`}) || m.Size != 5 {
		t.Errorf("message 3: %+v", m)
	}
	m.Flags[0] = "changed"
	if again, _ := s.Get("", 3); again.Flags[0] != `\Seen` {
		t.Error("Get does not return a copy")
	}
	if uid, ok := s.Move("", 3, "Done"); !ok || uid != 1 || len(s.List("Done")) != 1 || len(s.List("")) != 2 {
		t.Errorf("Move: %d, %v", uid, ok)
	}
	if _, ok := s.Move("", 4, "nowhere"); ok || !slices.Equal(s.UIDs(""), []uint32{1, 4}) {
		t.Errorf("Move to nowhere: %v, left %v", ok, s.UIDs(""))
	}
	s.SetValidity("", 7)
	if validity, next := s.Validity(""); validity != 7 || next != 5 {
		t.Errorf("UIDVALIDITY %d, next UID %d; want 7 and 5", validity, next)
	}
	if s.Exists("nowhere") || !s.Exists("") {
		t.Error("Exists is wrong")
	}
}

// TestPOP3Server checks what the client never asks for.
func TestPOP3Server(t *testing.T) {
	store := fakeserver.NewStore()
	store.Add("", []byte("A: b\r\n\r\n.one\r\ntwo\r\n"))
	store.Add("", []byte("C: d"))
	server := &fakeserver.POP3{Store: store, User: "u", Password: "p", NoUIDL: true}
	client, end := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(end) })
	replies := bufio.NewReader(client)
	for _, step := range []struct{ command, want string }{
		{"", "+OK fetchtest ready|"},
		{"STAT", "-ERR not now|"},
		{"USER u", "+OK|"},
		{"PASS x", "-ERR [AUTH] authentication failed|"},
		{"PASS p", "+OK logged in|"},
		{"STAT", "+OK 2 23|"},
		{"TOP 1 1", "+OK 19 octets|A: b||..one|.|"},
		{"TOP 2 0", "+OK 4 octets|C: d||.|"},
		{"RETR 1", "+OK 19 octets|A: b||..one|two|.|"},
		{"LIST 2", "+OK 2 4|"},
		{"LIST 3", "-ERR no such message|"},
		{"UIDL", "-ERR unknown command|"},
		{"DELE 1", "+OK deleted|"},
		{"DELE 1", "-ERR no such message|"},
		{"LIST", "+OK|2 4|.|"},
		{"RSET", "+OK|"},
		{"NOOP", "+OK|"},
		{"STAT", "+OK 2 23|"},
		{"STLS", "-ERR not offered|"},
		{"AUTH NTLM", "-ERR unknown mechanism|"},
		{"XYZZY", "-ERR unknown command|"},
		{"QUIT", "+OK bye|"},
	} {
		if step.command != "" {
			if _, err := io.WriteString(client, step.command+"\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		got := ""
		for range strings.Count(step.want, "|") {
			line, err := replies.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %v", step.command, err)
			}
			got += strings.TrimSuffix(line, "\r\n") + "|"
		}
		if got != step.want {
			t.Errorf("%s: got %q, want %q", step.command, got, step.want)
		}
	}
	if rest, _ := io.ReadAll(replies); len(rest) > 0 {
		t.Errorf("after QUIT came %q", rest)
	}
	wg.Wait()
	if len(store.UIDs("")) != 2 {
		t.Error("RSET did not undo the deletion")
	}
}
