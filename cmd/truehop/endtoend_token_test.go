package main

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestJourneyByToken logs in to a real Dovecot by access tokens, which it asks the authority about, over each protocol
// and by each mechanism; and again after all of them have ended before their time, and with those of another user.
func TestJourneyByToken(t *testing.T) {
	postfix := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
	authority := &fakeserver.Authority{ClientID: "truehop-test", ClientSecret: "application-canary"}
	site := httptest.NewServer(authority)
	t.Cleanup(site.Close)
	dovecot := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{Introspection: site.URL + "/introspect"})
	authority.URL, authority.User = site.URL, dovecot.User
	for protocol, addr := range map[string]string{"imap": dovecot.IMAPSAddr, "pop3": dovecot.POP3SAddr} {
		for _, mechanism := range []string{"xoauth2", "oauthbearer"} {
			t.Run(protocol+" "+mechanism, func(t *testing.T) {
				j := &journey{dir: t.TempDir(), dovecot: dovecot, postfix: postfix}
				secret := j.write(t, "secret", authority.ClientSecret+"\n")
				account := []string{"protocol: " + protocol, "on_delivered: delete", "auth: " + mechanism,
					fmt.Sprintf("oauth: {provider: other, flow: app-only, client_id: %s, client_secret_file: %s, token_url: %s/token}", authority.ClientID, secret, site.URL)}
				config := j.config(t, addr, account...)
				issued, delivered := len(authority.Requests("token")), len(postfix.Mail())
				for n := range 2 {
					dovecot.Deliver(clientMail(7 + n))
					p := must(t, exitOK, "run", "--config", config)
					if strings.Contains(p.stderr.String(), "canary") {
						t.Errorf("the log holds the secret:\n%s", &p.stderr)
					}
					authority.Expire() // which Dovecot finds out, and truehop by its refusal
				}
				if got := len(postfix.Mail()) - delivered; got != 2 || dovecot.Count() != 0 {
					t.Errorf("%d messages arrived, %d are left\n%s", got, dovecot.Count(), postfix.Log())
				}
				if got := len(authority.Requests("token")) - issued; got != 2 {
					t.Errorf("%d tokens were asked for, want 2", got)
				}
				strangers := *j
				strangers.dir = t.TempDir()
				config = strangers.config(t, addr, append(account, "# another user")...)
				config = strangers.write(t, "truehop.yaml", strings.Replace(readText(t, config), "user: "+dovecot.User, "user: mallory@example.org", 1))
				p := must(t, exitCredentials, "run", "--config", config)
				for _, want := range []string{"status ", "the application may read the mailbox of accounts.work.user"} {
					if !strings.Contains(p.stderr.String(), want) {
						t.Errorf("the refusal is told without %q:\n%s", want, &p.stderr)
					}
				}
			})
		}
	}
}
