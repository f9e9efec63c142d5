package ui

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// noon is when the screens of these tests are looked at.
func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local) }

// TestSentence: what a pass did is one line, without zeros, and says until when mail waits.
func TestSentence(t *testing.T) {
	for want, sum := range map[string]transfer.Summary{
		"nothing new": {Listed: 9, Known: 9},
		"3 delivered  1 refused  2 deferred until 12:15":                    {Delivered: 3, Refused: 1, Deferred: 1, Waiting: 1, Next: noon().Add(15 * time.Minute)},
		"1 deferred until 2026-11-24 12:00":                                 {Waiting: 1, Next: noon().Add(24 * time.Hour)},
		"1 deferred":                                                        {Deferred: 1},
		"1 held  2 lost  3 in doubt  4 not fetched":                         {Held: 1, Lost: 2, Doubt: 3, Failed: 4},
		"1 put into quarantine  2 partly refused  3 asked about":            {Quarantined: 1, PartlyRefused: 2, Asked: 3},
		"5 taken as known  6 not settled upstream  7 left to the next pass": {Adopted: 5, Unsettled: 6, Left: 7},
	} {
		if got := sentence(sum, nil, noon()); got != want {
			t.Errorf("%+v is told as %q, want %q", sum, got, want)
		}
	}
}

// TestScreenTellsWhatWasSettled: also where nothing was delivered, a person is told what went from the mailbox, and how.
func TestScreenTellsWhatWasSettled(t *testing.T) {
	var b strings.Builder
	s := NewScreen(&b, ScreenOptions{Width: 80, Now: noon})
	deleted, moved := fetch.Disposal{Action: fetch.Delete}, fetch.Disposal{Action: fetch.Move, Target: "Done"}
	for _, d := range []fetch.Disposal{deleted, deleted, moved} {
		s.Event(transfer.Event{Kind: transfer.Settled, Account: "work", Disposal: d})
	}
	s.Event(transfer.Event{Kind: transfer.Settled, Account: "home", Disposal: deleted})
	s.Pass("work", PassEnd{Summary: transfer.Summary{Listed: 3, Known: 3, Settled: 3}})
	s.Pass("home", PassEnd{Summary: transfer.Summary{Delivered: 1, Refused: 1, Settled: 1}})
	want := "work  2 deleted upstream  1 moved to Done upstream\nhome  1 delivered  1 deleted upstream  1 refused\n"
	if got := b.String(); !strings.HasPrefix(got, want) {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
}

// refusedInvoice is a message that the MTA refused.
func refusedInvoice() transfer.Event {
	return transfer.Event{Kind: transfer.Verdict, Account: "work", State: string(ledger.Refused), Heading: ledger.Heading{From: "Jo Example <jo@example.org>", Subject: "an invoice", Date: noon()},
		Receipt: inject.Receipt{Stage: "RCPT", Reply: inject.Reply{Code: 554, Enhanced: "5.7.1", Text: "Service unavailable; Client host [192.0.2.66] blocked using zen.example.net; https://zen.example.net/query/192.0.2.66"}}}
}

// TestGoldenScreens: what a person at a terminal of this width is told of a run, whole.
func TestGoldenScreens(t *testing.T) {
	zone := noon().Format("MST")
	for width, want := range map[int]string{
		80: `home  nothing new
work  3 delivered  1 refused  2 deferred until 12:15
      refused  "an invoice" from Jo Example <jo@example.org> of Mon 23 Nov 12:00
      ZONE
        554 5.7.1 Service unavailable; Client host [192.0.2.66] blocked using
        zen.example.net; https://zen.example.net/query/192.0.2.66
      next: truehop status work
old  FAILED: LOGIN: server said "[AUTHENTICATIONFAILED] Invalid credentials
     (Failure)"
     ask for an app password at https://accounts.example.com/apppasswords; after
     correcting it: truehop check old
cut  1 delivered  cut short
`,
		100: `home  nothing new
work  3 delivered  1 refused  2 deferred until 12:15
      refused  "an invoice" from Jo Example <jo@example.org> of Mon 23 Nov 12:00 ZONE
        554 5.7.1 Service unavailable; Client host [192.0.2.66] blocked using zen.example.net;
        https://zen.example.net/query/192.0.2.66
      next: truehop status work
old  FAILED: LOGIN: server said "[AUTHENTICATIONFAILED] Invalid credentials (Failure)"
     ask for an app password at https://accounts.example.com/apppasswords; after correcting it:
     truehop check old
cut  1 delivered  cut short
`,
	} {
		var b strings.Builder
		s := NewScreen(&b, ScreenOptions{Width: width, Addresses: config.FullAddress, Now: noon})
		s.Begin("work")
		s.Event(refusedInvoice())
		s.Pass("home", PassEnd{Summary: transfer.Summary{Listed: 3, Known: 3}})
		s.Pass("work", PassEnd{Summary: transfer.Summary{Delivered: 3, Refused: 1, Deferred: 2, Next: noon().Add(15 * time.Minute)}})
		s.LoginWaits("old", &fetch.Error{Kind: fetch.Auth, Op: "LOGIN", Text: "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
			Advice: "ask for an app password at https://accounts.example.com/apppasswords; after correcting it: truehop check old"}, true)
		s.Pass("cut", PassEnd{Summary: transfer.Summary{Delivered: 1}, Err: context.Canceled})
		s.Close()
		got := b.String()
		if want := strings.ReplaceAll(want, "ZONE", zone); got != want {
			t.Errorf("at %d columns it says\n%s\nwant\n%s", width, got, want)
		}
		for line := range strings.Lines(got) {
			if n := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns of %d: %q", n, width, line)
			}
		}
	}
}

// TestScreenIsPrivateAndSafe: no stranger's words disturb the terminal, nor does it show more of an address than log.addresses allows.
func TestScreenIsPrivateAndSafe(t *testing.T) {
	var b strings.Builder
	s := NewScreen(&b, ScreenOptions{Width: 80, Now: noon})
	e := refusedInvoice()
	e.Receipt.Reply.Text = "<ann@example.net> \x1b[2J unknown\nx"
	s.Event(e)
	s.Event(transfer.Event{Kind: transfer.NotRetrieved, Account: "work", Ref: fetch.Ref{UID: "\x1b[31m7"}, Err: errors.New("too \u202elarge")})
	s.Pass("work", PassEnd{Summary: transfer.Summary{Refused: 1, Failed: 1}})
	got := b.String()
	if strings.ContainsAny(got, "\x1b\u202e") || strings.Contains(got, "ann@") || strings.Contains(got, "jo@") || strings.Contains(got, "Jo Example") {
		t.Errorf("it says %q", got)
	}
	for _, want := range []string{"<...@example.org>", "not fetched  UID ?[31m7", "too ?large"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// TestQuietScreen: with --quiet it says only what is wrong, and of many messages it names the first.
func TestQuietScreen(t *testing.T) {
	var b strings.Builder
	s := NewScreen(&b, ScreenOptions{Width: 80, Quiet: true, Progress: true, Config: "my file", Now: noon})
	s.Begin("home")
	s.Pass("home", PassEnd{Summary: transfer.Summary{Delivered: 3, Deferred: 1}})
	s.Awaiting(0)
	if b.Len() > 0 {
		t.Errorf("where all is well it says %q", &b)
	}
	for range maxTold + 5 {
		s.Event(refusedInvoice())
	}
	s.Pass("work", PassEnd{Summary: transfer.Summary{Refused: maxTold + 5}})
	if got := b.String(); strings.Count(got, "an invoice") != maxTold || !strings.Contains(got, "and 5 more\n") || !strings.Contains(got, "next: truehop status work --config 'my file'\n") {
		t.Errorf("it says\n%s", got)
	}
}

// TestCtrlCIsAnswered: also where nothing is waited for.
func TestCtrlCIsAnswered(t *testing.T) {
	for messages, want := range map[int]string{0: "ending; no message is with the MTA\n", 1: "waiting for the MTA's reply about 1 message; press Ctrl-C again to stop now\n"} {
		var b strings.Builder
		NewScreen(&b, ScreenOptions{Now: noon}).Awaiting(messages)
		if b.String() != want {
			t.Errorf("%d messages: %q", messages, &b)
		}
	}
}

// TestProgress: what stands beside the bar, from the begin of the listing to the last message.
func TestProgress(t *testing.T) {
	p := progress{account: "work"}
	at := noon()
	wants := func(want string) {
		t.Helper()
		if got := p.text(at); got != want {
			t.Errorf("it shows %q, want %q", got, want)
		}
	}
	wants("looking for new mail")
	p.add(transfer.Event{Kind: transfer.Listed}, at)
	p.add(transfer.Event{Kind: transfer.Planned}, at)
	wants("looking for new mail")
	p.add(transfer.Event{Kind: transfer.Planned, Messages: 3, Octets: 30_000_000}, at)
	wants("0 of 3 fetched, 0 done  0 B of 30 MB")
	at = at.Add(10 * time.Second)
	p.arriving = 5_000_000
	wants("0 of 3 fetched, 0 done  5.0 MB of 30 MB  500 kB/s  50s left")
	p.arriving = 10_000_000
	p.add(transfer.Event{Kind: transfer.Retrieved, Size: 10_000_000}, at)
	wants("1 of 3 fetched, 0 done  10 MB of 30 MB  1.0 MB/s  20s left")
	p.add(transfer.Event{Kind: transfer.Verdict}, at)
	p.arriving = 1_000_000 // of the message behind the next
	p.add(transfer.Event{Kind: transfer.Retrieved, Size: 25_000_000}, at)
	p.arriving = 0
	p.add(transfer.Event{Kind: transfer.Recognised}, at)
	wants("2 of 3 fetched, 2 done  35 MB  3.5 MB/s")
}

// TestQuantities: sizes and times are in units that a person thinks in.
func TestQuantities(t *testing.T) {
	for octets, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 9_940: "9.9 kB", 9_960: "10 kB", 999_499: "999 kB", 999_600: "1.0 MB", 12_345_678: "12 MB", 5e9: "5.0 GB", 1 << 62: "4612 PB"} {
		if got := size(octets); got != want {
			t.Errorf("%d octets are %q, want %q", octets, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "12:00, now", -59 * time.Second: "11:59, 59s ago", -90 * time.Second: "11:58, 1 min ago", -36 * time.Hour: "2026-11-22 00:00, 36h ago",
		-72 * time.Hour: "2026-11-20 12:00, 3 days ago", 5 * time.Minute: "12:05, in 5 min",
	} {
		if got := cellTime(noon().Add(d), noon()); got != want {
			t.Errorf("%v from now is %q", d, got)
		}
	}
	if got := cellTime(time.Time{}, noon()); got != "never" {
		t.Errorf("no time is %q", got)
	}
}

// TestWrapped: a text is broken at blanks, or where it must, and loses nothing but these.
func TestWrapped(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"", 10, ""}, {"ten wide x", 10, "ten wide x"}, {"eleven wide", 10, "eleven|wide"}, {"0123456789ab", 10, "0123456789|ab"},
		{"界界界界界界", 10, "界界界界界|界"}, {"anything", 0, "anything"}, {"界", 1, "界"}, {"0123456789 ab", 10, "0123456789|ab"},
	} {
		if got := strings.Join(wrapped(c.text, c.columns), "|"); got != c.want {
			t.Errorf("%q in %d columns is %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}

// TestLastWordsAreShown: what is told of a pass stands on the screen, however soon after it the screen is closed.
func TestLastWordsAreShown(t *testing.T) {
	for _, drawn := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			s := NewScreen(&b, ScreenOptions{Width: 80, Progress: true, Now: time.Now})
			s.Begin("work")
			s.Event(transfer.Event{Kind: transfer.Listed, Account: "work"})
			if drawn {
				time.Sleep(time.Second)
			}
			s.Pass("work", PassEnd{Summary: transfer.Summary{Delivered: 1}})
			s.Close()
			if !strings.Contains(b.String(), "1 delivered") {
				t.Errorf("drawn before %v: the screen shows %q", drawn, &b)
			}
		})
	}
}

// TestScreenInColour: what is wrong stands out, and colours take no columns of the terminal.
func TestScreenInColour(t *testing.T) {
	var b strings.Builder
	s := NewScreen(&b, ScreenOptions{Width: 40, Color: true, Now: noon})
	s.Pass("old", PassEnd{Summary: transfer.Summary{Delivered: 1}, Err: errors.New("connect to imap.example.net:993: refused")})
	s.Pass("work", PassEnd{Summary: transfer.Summary{Delivered: 2}})
	s.Warning("work: the server counts 2 more and does not list them")
	s.Close()
	want := "\x1b[1mold\x1b[0m  \x1b[31mFAILED\x1b[0m: connect to\n     imap.example.net:993: refused\n     1 delivered\n" +
		"\x1b[1mwork\x1b[0m  2 delivered\n" +
		"\x1b[1mwarning: \x1b[0mwork: the server counts 2 more\n  and does not list them\n"
	if got := b.String(); got != want {
		t.Errorf("it shows\n%q\nwant\n%q", got, want)
	}
}
