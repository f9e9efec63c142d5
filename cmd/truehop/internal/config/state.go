package config

import (
	"context"
	"net/url"
	"slices"
	"strings"
)

// Record names to a person where the durable record is.
func (c *Config) Record() string {
	if c.State != "" {
		return c.State
	}
	return c.StateDir
}

// StatePassword fetches the password for the database that holds the record, "" where no source of one is given. The error is a
// [*SecretError].
func (c *Config) StatePassword(ctx context.Context) (Secret, error) {
	if len(c.stateLogin.sources()) == 0 {
		return Secret{}, nil
	}
	return c.stateLogin.Password(ctx)
}

// state checks where the record is.
func (k checker) state(c *Config) {
	if c.State != "" {
		k.database("state", c.State, "; a directory is state_dir", "use state_password_file")
	}
	sources := c.stateLogin.sources()
	for _, source := range sources {
		if c.State == "" {
			k.wrong("state_"+source, "has no effect without state; remove it")
		}
		if len(sources) > 1 {
			k.wrong("state_"+source, "one source of a password is enough; keep one of state_%s", strings.Join(sources, ", state_"))
		}
	}
	k.absolute("state_password_file", c.StatePasswordFile)
	k.program("state_password_command", c.StatePasswordCommand)
}

// database checks how a database is named. aside says what else may be meant, instead where a password belongs.
func (k checker) database(key, value, aside, instead string) {
	const form = "postgres://USER@HOST/DATABASE or service=NAME"
	scheme, _, isURL := strings.Cut(value, "://")
	isURL = isURL && slices.Contains([]string{"postgres", "postgresql"}, scheme)
	known := isURL || strings.HasPrefix(value, "service=")
	_, err := url.Parse(value)
	switch {
	case holdsPassword(value) && !known:
		k.wrong(key, "holds a password, which everybody sees who is shown the configuration; %s, and name the database as %s", instead, form)
	case holdsPassword(value):
		k.wrong(key, "holds a password, which everybody sees who is shown the configuration; %s", instead)
	case !known:
		k.wrong(key, "want %s%s%s", form, got(value), aside)
	case isURL && err != nil:
		k.wrong(key, "cannot be read as an address; write postgres://USER@HOST/DATABASE") // err quotes it, with what may be a password
	}
}
