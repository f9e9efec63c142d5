package config

import "testing"

// What an account says of its recipients takes the place of what defaults says, as a whole.
func TestMultidropDefaults(t *testing.T) {
	c := mustParse(t, []byte(`defaults:
  host: mail.example.net
  password_file: /p
  recipients: [postmaster@example.org]
accounts:
  common: {user: a}
  drop: {user: b, recipient_from: delivered-to, recipient_domains: [example.org]}
`), options())
	if a := c.Accounts["drop"]; len(a.Recipients) > 0 || a.RecipientFrom != "delivered-to" {
		t.Errorf("the multidrop account has %q and %q", a.Recipients, a.RecipientFrom)
	}
	if a := c.Accounts["common"]; len(a.Recipients) != 1 || a.RecipientFrom != "" {
		t.Errorf("the common account has %q and %q", a.Recipients, a.RecipientFrom)
	}
	c = mustParse(t, []byte(`defaults:
  host: mail.example.net
  password_file: /p
  recipient_from: delivered-to
  recipient_domains: [example.org]
  recipient_strip_prefix: x-
accounts:
  drop: {user: a}
  one: {user: b, recipients: [joe@example.org]}
`), options())
	if a := c.Accounts["one"]; len(a.Recipients) != 1 || a.RecipientFrom != "" || len(a.RecipientDomains) > 0 || a.RecipientStripPrefix != "" {
		t.Errorf("the account with recipients of its own is %+v", a)
	}
	if a := c.Accounts["drop"]; len(a.Recipients) > 0 || a.RecipientFrom != "delivered-to" || a.RecipientStripPrefix != "x-" {
		t.Errorf("the account without is %+v", a)
	}
}
