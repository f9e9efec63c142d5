package sasl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/fetch"
)

// Attempts are the ways to prove a user in one session, in their order. Servers offer mechanisms that they cannot complete: SCRAM and
// CRAM-MD5 need more than the hash of a password that they keep, and some refuse or cannot parse what their list names.
// Providers lock accounts over wrong passwords, so that a password is not shown more often than that takes:
//
//   - A refusal that does not judge the password, of a command that the server does not know, costs nothing: the next way follows.
//   - A mechanism with a challenge is refused in the same words whether the password is wrong or kept as a hash. Then the
//     password itself is shown, once, under TLS. Without TLS it is not: whoever sits in between could have refused the challenge.
//   - Where the password itself was refused and the server says that it is wrong, that is the end. Where it says no more
//     than no, one other way is tried.
//
// So a server counts two wrong passwords at most, and one where it says what is wrong or offers but one way. A mechanism that was
// chosen by name, a token, and a refusal that only a person can mend are not followed by another attempt.
type Attempts struct {
	cred    Credentials
	offered []string
	secure  bool
	judged  int      // refusals that may be about the password
	Refused []string // what was refused before, or instead of, what was accepted
}

// NewAttempts takes what the server offers: mechanisms, and [User] and [APOP] where those commands can be used.
func NewAttempts(offered []string, c Credentials, secure bool) *Attempts {
	return &Attempts{cred: c, offered: slices.Clone(offered), secure: secure}
}

// Run makes attempts until one succeeds, and returns its name. try makes one; on failure it says whether the server could not even parse it. The
// error is the one that tells most: a connection that ends after a refusal does not hide the refusal.
func (a *Attempts) Run(ctx context.Context, try func(name string, client sasl.Client) (unparsed bool, err error)) (used string, err error) {
	var refusal *fetch.Error
	for {
		name, client, err := Choose(ctx, a.offered, a.cred, a.secure)
		if err != nil {
			return "", err
		}
		unparsed, err := try(name, client)
		if err == nil {
			return name, nil
		}
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind != fetch.Auth { // no refusal of the credentials
			cut := refusal != nil && ctx.Err() == nil && fetch.KindOf(err) == fetch.Unreachable
			if cut {
				return "", advise(a.Refused[len(a.Refused)-1], refusal, hintCut)
			}
			return "", err
		}
		refusal = e
		a.Refused = append(a.Refused, name)
		final := e.Ends || e.Advice != ""
		if final || a.cred.Mechanism != "" || a.cred.Token != nil {
			return "", err
		}
		if !a.goOn(name, weigh(e, client, unparsed), unparsed) {
			if a.secure {
				return "", err
			}
			return "", advise(name, e, hintPlain)
		}
	}
}

// Log says what the server took, and warns of what it refused before: it may count that against the user at each login.
func (a *Attempts) Log(ctx context.Context, log *slog.Logger, used string) {
	if len(a.Refused) == 0 {
		log.LogAttrs(ctx, slog.LevelDebug, "logged in", slog.String("auth", Mechanism(used).String()))
		return
	}
	log.LogAttrs(ctx, slog.LevelWarn, "the server refused one way to log in and took another; setting auth spares it a failed login each time",
		slog.String("refused", strings.ToLower(strings.Join(a.Refused, " "))), slog.String("auth", Mechanism(used).String()))
}

// weight is what a refusal says of the password.
type weight uint8

const (
	unread weight = iota // nothing: the server did not get as far
	vague                // it may be wrong
	wrong                // it is wrong
)

// weigh reads the refusal of a client's attempt. unparsed says that the protocol itself calls the command unintelligible.
func weigh(e *fetch.Error, client sasl.Client, unparsed bool) weight {
	text := strings.ToLower(e.Text)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	if b, ok := client.(*bounded); ok {
		// A refusal before the proof is of the binding and not of the password.
		if s, ok := b.Client.(*scramClient); ok && s.bound() {
			if s.unbound || s.step == 0 {
				return unread
			}
		}
	}
	switch {
	case has("[auth]", "[authenticationfailed]", "[authorizationfailed]", "password", "credential"):
		return wrong
	case unparsed:
		return unread
	case has("unknown command", "unrecogni", "not recogni", "not implemented", "unsupported", "not support", "mechanism", "syntax", "bad command", "invalid command", "unknown auth", "parse"):
		return unread
	}
	return vague
}

// goOn takes the refused one off the list, and what must not follow it. It reports whether another attempt is due.
func (a *Attempts) goOn(refused string, w weight, unparsed bool) bool {
	known := mechanismsFor(a.cred)
	shows := func(name string) bool {
		return slices.ContainsFunc(known, func(m mechanism) bool { return m.shows && strings.EqualFold(m.name, name) })
	}
	drop := func(which func(name string) bool) { a.offered = slices.DeleteFunc(a.offered, which) }
	if w != unread {
		a.judged++
	}
	switch {
	case a.judged >= 2:
		return false
	case w == wrong && shows(refused):
		return false
	}
	drop(func(name string) bool { return strings.EqualFold(name, refused) })
	if !a.secure && !shows(refused) {
		drop(shows)
	}
	if w != unread {
		drop(func(name string) bool { return !shows(name) })
	}
	if unparsed && slices.Contains(a.offered, User) {
		drop(func(name string) bool { return name != User }) // the server parses no AUTHENTICATE
	}
	_, err := pick(a.offered, a.cred, a.secure)
	return err == nil
}

const (
	hintCut   = "the password is wrong, or the server keeps a hash of it, with which it cannot complete %s, and ended the connection: if the password is right, set auth: plain"
	hintPlain = "the password is wrong, or the server keeps a hash of it, with which it cannot complete %s: use TLS, or set auth: plain and show the password to everybody on the way"
)

// advise adds a hint to the refusal of a mechanism that needs more than the hash of a password.
func advise(refused string, e *fetch.Error, hint string) error {
	if !strings.HasPrefix(refused, "SCRAM-") && refused != CRAMMD5 && refused != APOP {
		return e
	}
	amended := *e
	amended.Advice = fmt.Sprintf(hint, refused)
	return &amended
}
