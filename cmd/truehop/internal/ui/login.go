package ui

import (
	"fmt"
	"io"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/oauth"
)

// Login writes what a person has to do to log in at a provider, on one screen.
type Login struct {
	W io.Writer
	// Headless says that the browser runs on another host, and that the person pastes what it ends at.
	Headless bool
}

// Prompt says what to do.
func (l Login) Prompt(a *config.Account, p oauth.Prompt) {
	fmt.Fprintf(l.W, "%s: login as %s, for mail at %s\n\n", a.Name, fetch.Sanitize(a.User), a.Addr())
	where := "on any device"
	if p.Code == "" && !l.Headless {
		where = "on this host (with a browser elsewhere: truehop login " + a.Name + " --headless)"
	}
	step := 1
	say := func(format string, args ...any) {
		fmt.Fprintf(l.W, "  %d. "+format+"\n", append([]any{step}, args...)...)
		step++
	}
	say("Open this address in a browser, %s:\n\n     %s\n", where, p.URL)
	if p.Code != "" {
		say("Enter this code there:\n\n     %s\n", p.Code)
	}
	say("Log in as %s and allow access to the mail.", fetch.Sanitize(a.User))
	if a.OAuth.Provider == oauth.Google {
		fmt.Fprintln(l.W, "     Google says that your own application is not verified: choose Advanced, and go on.")
	}
	if l.Headless && p.Code == "" {
		say("The browser then fails to open an address that begins with %s\n     That is as it should be. Copy the whole address and paste it here.\n"+
			"     (Or log in on a host with a browser, by the same configuration, and copy the file\n     %s.)", p.Redirect, a.OAuth.TokenFile)
		fmt.Fprintf(l.W, "\nThe address, until %s: ", clock(p.Until))
		return
	}
	fmt.Fprintf(l.W, "\nWaiting until %s ...\n", clock(p.Until))
}

func clock(t time.Time) string { return t.Local().Format("15:04") }

// Done says that the tokens are stored and that the upstream takes them.
func (l Login) Done(a *config.Account, s oauth.Status) {
	fmt.Fprintf(l.W, "%s: logged in, and %s takes the token; it is kept in %s\n", a.Name, a.Addr(), a.OAuth.TokenFile)
	fmt.Fprintf(l.W, "  %s\n", tokenText(s))
}

// tokenText says in one line how long a token lasts.
func tokenText(s oauth.Status) string {
	switch {
	case s.Expires.IsZero():
		return "no token yet: it is obtained at the first login"
	case !s.Renewable:
		return "the token ends at " + s.Expires.Local().Format(time.DateTime)
	case time.Now().After(s.Expires):
		return "the token ended at " + s.Expires.Local().Format(time.DateTime) + " and is renewed at the next login"
	}
	return "the token lasts until " + s.Expires.Local().Format(time.DateTime) + " and is renewed by itself"
}
