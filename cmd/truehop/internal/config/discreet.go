package config

import (
	"net/url"
	"slices"
	"strings"
)

// Errors are logged and pasted into tickets, and what a person wrote wrongly may be a password, or hold one.

// discreet reports whether a value may hold a secret, so that no error repeats it: it has a login in front of an @, or says so.
func discreet(value string) bool {
	low := strings.ToLower(value)
	return slices.ContainsFunc([]string{"@", "password", "secret"}, func(sign string) bool { return strings.Contains(low, sign) })
}

// got ends an error with the value that stands where another one is wanted, unless it may hold a secret.
func got(value string) string {
	if discreet(value) {
		return ""
	}
	return ", got " + show(value)
}

// secretive reports whether the key at path says where a secret is. By mistake that may be the secret itself; and
// the arguments of a program may hold one.
func secretive(path string) bool {
	name := path[strings.LastIndex(path, delim)+1:]
	return strings.HasSuffix(name, "_command") ||
		slices.ContainsFunc([]string{"password", "secret", "token", "key"}, func(word string) bool { return strings.Contains(name, word) })
}

// holdsPassword reports whether a database is named with a password, in whichever way libpq or a person writes that.
func holdsPassword(database string) bool {
	words := strings.ToLower(strings.Join(strings.Fields(database), "")) // libpq takes blanks around =
	if strings.Contains(words, "password=") {
		return true
	}
	if u, err := url.Parse(database); err == nil && u.Host != "" {
		_, has := u.User.Password()
		return has || u.Query().Has("password")
	}
	// What is no address may begin with a login all the same.
	_, rest, isURL := strings.Cut(database, "://")
	if !isURL {
		rest = database
	}
	login, _, has := strings.Cut(rest, "@")
	return has && strings.Contains(login, ":")
}
