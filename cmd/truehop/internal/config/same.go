package config

import (
	"reflect"

	"github.com/truehop/truehop/schedule"
)

// Same reports whether two readings of the configuration say the same of an account. What is in the files that it names is
// read at each login, and does not count; nor does what is in a sealed password.
func (a *Account) Same(b *Account) bool {
	if a == b {
		return true
	}
	return a.Schedule.String() == b.Schedule.String() && reflect.DeepEqual(a.said(), b.said())
}

// said is an account without what does not come from the configuration's text, or is compared otherwise.
func (a *Account) said() Account {
	said := *a
	said.File, said.InTable, said.given, said.getenv, said.Schedule = "", false, nil, nil, schedule.Spec{}
	if said.sealed != nil {
		said.sealed = &sealedPassword{}
	}
	return said
}

// Same reports whether two readings of the configuration say the same of a target.
func (t *Target) Same(other *Target) bool {
	if t == other {
		return true
	}
	a, b := *t, *other
	a.getenv, b.getenv = nil, nil
	a.named, b.named = false, false
	return reflect.DeepEqual(a, b)
}

// Changed compares the configuration with the next one: come are the accounts that are not there yet, or of which, or of whose
// target, something else is said; gone are those that are not there any more. Both are in alphabetical order.
func (c *Config) Changed(next *Config) (come, gone []string) {
	for _, name := range next.Names() {
		is, was := next.Accounts[name], c.Accounts[name]
		same := was != nil && is.Same(was) && next.Target(is).Same(c.Target(was))
		if !same {
			come = append(come, name)
		}
	}
	for _, name := range c.Names() {
		if next.Accounts[name] == nil {
			gone = append(gone, name)
		}
	}
	return come, gone
}
