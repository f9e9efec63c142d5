package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// AccountStatus is what `status --json` prints of an account, one object a line.
type AccountStatus struct {
	Account string `json:"account"`
	// Target is the name of the one that takes the account's mail; Several says that there are others.
	Target      string      `json:"target"`
	Several     bool        `json:"-"`
	LastPass    *time.Time  `json:"last_pass"`
	Pass        *PassStatus `json:"pass"`
	LastSuccess *time.Time  `json:"last_success"`
	Error       *string     `json:"error"`
	// Hint says what to do about Error, as run did; Exit is the exit code that run had then, 0 if that is not known.
	Hint   *string              `json:"hint"`
	Exit   int                  `json:"-"`
	Counts map[ledger.State]int `json:"counts"`
	// LoginRefused says that the upstream refuses the credentials; null if it does not.
	LoginRefused *LoginStatus `json:"login_refused"`
	// Restored says that the ledger is a copy, which may be older than the mailbox, and that no pass has ended well since.
	Restored bool `json:"restored"`
	// Open are the messages that are not done with: deferred, in doubt, refused, partly refused, held, lost.
	Open []MessageStatus `json:"open"`
	// skipped says that it is a row in the table of accounts that is no account.
	skipped bool
}

// LoginStatus is how it stands with credentials that are refused. Next is when a login is tried again, unless they are
// changed before.
type LoginStatus struct {
	Times  int       `json:"times"`
	Last   time.Time `json:"last"`
	Next   time.Time `json:"next"`
	Reason string    `json:"reason"`
}

// PassStatus is what the last pass did, null before it has ended. OK says that it saw the whole account and met no error.
type PassStatus struct {
	Ended     time.Time `json:"ended"`
	OK        bool      `json:"ok"`
	Listed    int       `json:"listed"`
	Delivered int       `json:"delivered"`
	Deferred  int       `json:"deferred"`
	Refused   int       `json:"refused"`
	Held      int       `json:"held"`
	Doubt     int       `json:"doubt"`
}

// MessageStatus is one message that is not done with.
type MessageStatus struct {
	Folder string       `json:"folder"`
	UID    string       `json:"uid"`
	ID     string       `json:"id"`
	State  ledger.State `json:"state"`
	Client string       `json:"client"`
	Since  time.Time    `json:"since"`
	// Changed is when the message got its state.
	Changed time.Time  `json:"changed"`
	Next    *time.Time `json:"next"`
	Reply   string     `json:"reply"`
	Why     string     `json:"why"`
	// Message names it by its own header.
	Message headingJSON `json:"message"`
	heading ledger.Heading
	// Verdicts are those on single recipients, where not all of them got the message.
	Verdicts []ledger.Verdict `json:"verdicts"`
	// Waits says why a refused message is not deleted or moved yet, though on_refused says so; null else.
	Waits *string `json:"waits"`
}

// NewAccountStatus is the status of an account by what the ledger knows: its last pass, when one last ended well,
// the numbers of its messages by state, and those that are not done with. waits says why a message is not disposed of
// yet, "" if nothing is to become of it; nil says so of none.
func NewAccountStatus(account string, last ledger.Pass, success time.Time, counts map[ledger.State]int, open []ledger.Record, waits func(ledger.Record) string) *AccountStatus {
	s := &AccountStatus{
		Account: account, LastPass: moment(last.Began), LastSuccess: moment(success), Error: orNil(last.Error), Hint: orNil(last.Hint), Exit: last.Exit,
		Counts: counts, Open: []MessageStatus{},
	}
	if !last.Ended.IsZero() {
		s.Pass = &PassStatus{Ended: last.Ended, OK: last.OK, Listed: last.Listed, Delivered: last.Delivered,
			Deferred: last.Deferred, Refused: last.Refused, Held: last.Held, Doubt: last.InDoubt}
	}
	for _, r := range open {
		m := MessageStatus{
			Folder: r.Folder, UID: r.UID, ID: r.Token, State: r.State, Client: r.Client, Since: r.First, Changed: r.Last,
			Next: moment(r.Next), Reply: r.Reply, Why: r.Why, Verdicts: r.Verdicts, heading: r.Heading, Message: newHeadingJSON(r.Heading),
		}
		if waits != nil {
			m.Waits = orNil(waits(r))
		}
		s.Open = append(s.Open, m)
	}
	return s
}

// NewSkippedStatus is the status of a row in the table of accounts that is no account, which stands for this exit code.
func NewSkippedStatus(row config.SkippedRow, exit int) *AccountStatus {
	s := NewAccountStatus(row.Name, ledger.Pass{Error: row.Error(), Exit: exit}, time.Time{}, map[ledger.State]int{}, nil, nil)
	s.skipped = true
	return s
}

// Mask shortens what names messages as log.addresses asks.
func (s *AccountStatus) Mask(how config.AddressDetail) {
	for i := range s.Open {
		m := &s.Open[i]
		m.heading = MaskHeading(m.heading, how)
		m.Message = newHeadingJSON(m.heading)
	}
}

// SetRefusal takes what the ledger has of credentials that are refused.
func (s *AccountStatus) SetRefusal(r ledger.Refusal) {
	if r.Times > 0 {
		s.LoginRefused = &LoginStatus{Times: r.Times, Last: r.Last, Next: r.Next, Reason: r.Reason}
	}
}

// PrintJSON writes the account as one object on a line.
func (s *AccountStatus) PrintJSON(w io.Writer) error { return printJSON(w, s) }

// Print writes the account as a paragraph and a table, as of now. dir is where its record is.
func (s *AccountStatus) Print(w io.Writer, dir string, now time.Time) {
	name := s.Account
	if s.Several {
		name += " to " + s.Target
	}
	if s.skipped {
		say(w, fetch.Printable(name)+": no passes: its row in the table is wrong:\n  "+strings.ReplaceAll(lines(*s.Error), "\n", "\n  "))
		return
	}
	at := func(t *time.Time) string {
		if t == nil || columnsOf(w) == 0 {
			return when(t)
		}
		return when(t) + " " + t.Local().Format("MST") + ", " + distance(*t, now)
	}
	refused := func() {
		if r := s.LoginRefused; r != nil {
			say(w, fmt.Sprintf("  login refused, %d in a row, last %s: %s\n  tried again at %s, or when the credentials were changed; after correcting them: truehop check %s",
				r.Times, at(&r.Last), lines(r.Reason), at(&r.Next), s.Account))
		}
	}
	if s.LastPass == nil {
		// Another user's record may be another one (state_dir): it is named.
		say(w, fmt.Sprintf("%s: no pass yet, by the record in %s", name, dir))
		refused()
		return
	}
	last := fmt.Sprintf("%s: last pass %s", name, at(s.LastPass))
	switch {
	case s.Error != nil && s.Pass != nil && s.Pass.OK:
		last += " did not see all: " + strings.ReplaceAll(lines(*s.Error), "\n", "\n    ")
	case s.Error != nil:
		last += " FAILED: " + lines(*s.Error)
	case s.Pass == nil:
		last += " has not ended"
	}
	say(w, last)
	if s.Hint != nil && s.LoginRefused == nil {
		say(w, "  "+lines(*s.Hint))
	}
	if did := s.Pass; did != nil {
		say(w, fmt.Sprintf("  it took %v%s", did.Ended.Sub(*s.LastPass).Round(time.Millisecond), did.counters()))
	}
	refused()
	if s.Restored {
		say(w, "  the ledger is a copy and may be older than the mailbox: until a pass has ended well, mail is delivered with Truehop-Redelivery: possible")
	}
	say(w, "  last success "+at(s.LastSuccess))
	var counts []string
	for _, state := range ledger.States() {
		if n := s.Counts[state]; n > 0 {
			counts = append(counts, fmt.Sprintf("%s %d", state, n))
		}
	}
	if len(counts) > 0 {
		say(w, "  "+strings.Join(counts, ", "))
	}
	s.printOpen(w, now)
}

// counters are the numbers of a pass that are not zero.
func (did *PassStatus) counters() string {
	var parts []string
	for _, c := range [...]struct {
		word string
		n    int
	}{{"listed", did.Listed}, {"delivered", did.Delivered}, {"deferred", did.Deferred}, {"refused", did.Refused}, {"held", did.Held}, {"doubt", did.Doubt}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", c.word, c.n))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// printOpen writes the messages that are not done with as a table, and what a person can do about them.
func (s *AccountStatus) printOpen(w io.Writer, now time.Time) {
	if len(s.Open) == 0 {
		return
	}
	zone := " (" + now.Format("MST") + ")"
	t := newTable(w, "  STATE", "UID", "SINCE"+zone, "NEXT TRY"+zone, "CLIENT", "MESSAGE", "REASON")
	for _, m := range s.Open {
		reason := recordReason(m.Reply, m.Why, m.Verdicts)
		if m.Waits != nil {
			reason = *m.Waits + "; " + reason
		}
		next := "next pass"
		switch {
		case m.State.WantsPerson():
			next = "never" // a person has to decide
		case m.Next != nil:
			next = cellTime(*m.Next, now)
		}
		t.row("  "+string(m.State), fetch.Sanitize(m.UID), cellTime(m.Since, now), next, orDash(m.Client), headingText(m.heading), reason)
	}
	t.flush()
	for _, step := range nextSteps(s) {
		say(w, "  "+step)
	}
}

// nextSteps says what a person can do about the messages that want one: a line for each state.
func nextSteps(s *AccountStatus) (steps []string) {
	for _, next := range []struct {
		state ledger.State
		text  string
	}{
		{ledger.Refused, "refused: truehop explain ACCOUNT --uid UID shows who was presented; truehop retry ACCOUNT --state refused has them tried again"},
		{ledger.PartlyRefused, "partly-refused: truehop retry ACCOUNT --state partly-refused tries again those recipients that do not have it"},
		{ledger.Held, "held: remove the cause; then truehop retry ACCOUNT --state held"},
		{ledger.Lost, "lost: truehop acknowledge ACCOUNT --all once you know of it"},
	} {
		i := slices.IndexFunc(s.Open, func(m MessageStatus) bool { return m.State == next.state && m.Waits == nil })
		if i >= 0 {
			steps = append(steps, strings.NewReplacer("ACCOUNT", s.Account, "UID", quote(fetch.Sanitize(s.Open[i].UID))).Replace(next.text))
		}
	}
	return steps
}

// PrintTotals sums up several accounts in a line.
func PrintTotals(w io.Writer, all []*AccountStatus) {
	if len(all) < 2 {
		return
	}
	var failed, person []string
	deferred := 0
	for _, s := range all {
		if s.Error != nil {
			failed = append(failed, s.Account)
		}
		wants := false
		for _, m := range s.Open {
			wants = wants || m.State.WantsPerson()
			if !m.State.WantsPerson() {
				deferred++
			}
		}
		if wants {
			person = append(person, s.Account)
		}
	}
	say(w, fmt.Sprintf("%s: %s deferred; last pass failed: %s; messages want a person: %s",
		count(len(all), "account"), count(deferred, "message"), List(failed), List(person)))
}

func when(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
