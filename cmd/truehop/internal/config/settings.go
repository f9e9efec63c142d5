package config

import (
	"encoding"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
)

// Setting is one key of the configuration with the value that it has after defaults, file and environment.
type Setting struct {
	// Key is the path of the key, such as accounts.work.host.
	Key string `json:"key"`
	// Value is in the syntax of the file, or nearly; a secret is ***, and so is all that a program is called with.
	Value string `json:"value"`
	// Origin is FILE:LINE, with "defaults" behind it where the value stands there; "environment NAME"; "default" for a built-in
	// value; "preset PROVIDER" for what the provider publishes.
	Origin string `json:"origin"`
}

// Settings returns every key that has a value, in the order of [Config]; targets and accounts are in that of their names.
func (c *Config) Settings() []Setting {
	var all []Setting
	c.settings("", reflect.ValueOf(c).Elem(), nil, &all)
	return all
}

// settings adds the keys of a struct whose path is at. account is the one that they belong to, or nil.
func (c *Config) settings(at string, v reflect.Value, account *Account, all *[]Setting) {
	for f, value := range v.Fields() {
		name, opts, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		path := join(at, name)
		switch {
		case opts == "squash":
			c.settings(at, value, account, all)
		case name == "", name == "-", name == "defaults": // what is in defaults shows with the accounts
		case f.Type == targetsType():
			for _, t := range c.Targets() {
				c.settings(t.path(), reflect.ValueOf(t).Elem(), nil, all)
			}
		case f.Type.Kind() == reflect.Map:
			for _, name := range c.Names() {
				c.settings(join(path, name), reflect.ValueOf(c.Accounts[name]).Elem(), c.Accounts[name], all)
			}
		case f.Type.Kind() == reflect.Struct && !readsText(f.Type) && f.Type != reflect.TypeFor[Secret]():
			c.settings(path, value, account, all)
		case !value.IsZero() || f.Tag.Get("default") != "":
			if text := settingText(name, value); text != "" {
				*all = append(*all, Setting{Key: shown(path), Value: text, Origin: c.origin(path, name, account)})
			}
		}
	}
}

// origin says where the value at path is from.
func (c *Config) origin(path, name string, account *Account) string {
	where := func(p place) string {
		if p.line == 0 {
			return p.source
		}
		return fmt.Sprintf("%s:%d", p.source, p.line)
	}
	if p, ok := c.places[canonical(path)]; ok {
		return where(p)
	}
	if p, ok := c.places[path]; ok {
		return where(p)
	}
	if account != nil && slices.Contains(account.given, path) {
		return TableName
	}
	if account != nil {
		_, rest, _ := strings.Cut(strings.TrimPrefix(path, "accounts/"), delim)
		if p, ok := c.places[join("defaults", "")+rest]; ok {
			return where(p) + " defaults"
		}
		_, hostGiven := c.places["accounts/"+account.Name+"/host"]
		published := slices.Contains([]string{"host", "port", "tls"}, name) && account.preset() != nil && !hostGiven
		if _, inDefaults := c.places["defaults/host"]; published && !inDefaults {
			return "preset " + account.preset().provider
		}
	}
	return "default"
}

// settingText is a value as the file has it.
func settingText(name string, v reflect.Value) string {
	if strings.HasSuffix(name, "_command") && v.Len() > 1 {
		return fmt.Sprintf("[%s, %s]", v.Index(0), mask)
	}
	if s, ok := v.Interface().(Secret); ok {
		return s.String()
	}
	if level, ok := v.Interface().(slog.Level); ok {
		return strings.ToLower(level.String()) // it writes itself in capitals, which the file does not take
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if text, err := m.MarshalText(); err == nil {
			return string(text)
		}
	}
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	if v.Kind() == reflect.Slice {
		var items []string
		for i := range v.Len() {
			items = append(items, settingText("", v.Index(i)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}
