package config

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Draft is what a configuration for one mailbox is made of.
type Draft struct {
	Name, User, Provider, Host, PasswordFile, Recipient, Target string
	PasswordCommand                                             []string
}

// YAML returns the configuration. Whoever writes it should parse it first.
func (d *Draft) YAML() []byte {
	var b strings.Builder
	line := func(indent int, key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s%s: %s\n", strings.Repeat(" ", indent), key, value)
		}
	}
	text := func(s string) string {
		if s == "" {
			return ""
		}
		return strconv.QuoteToASCII(s) // which YAML reads as it is meant
	}
	b.WriteString("# Written by truehop init. The reference of all keys is in README.md.\ninject:\n")
	line(2, "address", text(cmp.Or(d.Target, "unix:/var/spool/postfix/public/truehop")))
	b.WriteString("accounts:\n")
	fmt.Fprintf(&b, "  %s:\n", text(cmp.Or(d.Name, "mail")))
	line(4, "provider", text(cmp.Or(d.Provider, "auto")))
	line(4, "host", text(d.Host))
	line(4, "user", text(d.User))
	line(4, "password_file", text(d.PasswordFile))
	if len(d.PasswordCommand) > 0 {
		var argv []string
		for _, a := range d.PasswordCommand {
			argv = append(argv, text(a))
		}
		line(4, "password_command", "["+strings.Join(argv, ", ")+"]")
	}
	line(4, "recipients", "["+text(d.Recipient)+"]")
	b.WriteString("    on_delivered: keep\n")
	return []byte(b.String())
}
