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
	if len(c.StatePasswordCommand) > 0 {
		k.absolute("state_password_command", c.StatePasswordCommand[0])
	}
}

// database checks how a database is named. aside says what else may be meant, instead where a password belongs.
func (k checker) database(key, value, aside, instead string) {
	scheme, _, isURL := strings.Cut(value, "://")
	isURL = isURL && slices.Contains([]string{"postgres", "postgresql"}, scheme)
	u, err := url.Parse(value)
	inAddress := false
	if u != nil {
		_, has := u.User.Password()
		words := strings.Join(strings.Fields(u.Path), "") // libpq takes spaces around =
		inAddress = has || u.Query().Has("password") || strings.Contains(words, "password=")
	}
	switch {
	case !isURL && !strings.HasPrefix(value, "service="):
		k.wrong(key, "want postgres://USER@HOST/DATABASE or service=NAME, got %s%s", show(value), aside)
	case isURL && err != nil:
		k.wrong(key, "cannot be read as an address; write postgres://USER@HOST/DATABASE") // err quotes it, with what may be a password
	case inAddress, strings.Contains(strings.Join(strings.Fields(value), ""), "password="):
		k.wrong(key, "holds a password, which everybody sees who is shown the configuration; %s", instead)
	}
}
