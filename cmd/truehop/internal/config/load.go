package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// delim stands between the parts of a path. Account names may hold dots.
const delim = "/"

// maxFile bounds a configuration file.
const maxFile = 1 << 20

// Options are what a configuration depends on beside its file.
type Options struct {
	// Environ is the environment, as [os.Environ] gives it.
	Environ []string
	// Secrets is where a container has its secrets, /run/secrets if "".
	Secrets string
}

// Load reads the configuration in the file at path, or, if path is "", the
// first that exists of $XDG_CONFIG_HOME/truehop/truehop.yaml (~/.config without it)
// and /etc/truehop/truehop.yaml. The files conf.d/*.yaml beside it add accounts, one each.
// Without a file the environment alone may be the configuration, as in a container.
// The error is an [*Error].
//
// Others must not be able to write the files, and, if one holds a password, not to read it.
func Load(path string, o Options) (*Config, error) {
	variable := "" // of the environment, that led to the file
	if path == "" {
		places := Places(o)
		i := slices.IndexFunc(places, func(p string) bool { _, err := os.Lstat(p); return !errors.Is(err, fs.ErrNotExist) })
		sets := func(assignment string) bool { // a key; the switch of the test suite is none
			name, _, _ := strings.Cut(assignment, "=")
			return strings.HasPrefix(name, envPrefix) && name != "TRUEHOP_REQUIRE_SERVERS"
		}
		switch {
		case i < 0 && slices.ContainsFunc(o.Environ, sets):
			return parse([]document{{name: "the environment"}}, o)
		case i < 0:
			return nil, &Error{Err: fs.ErrNotExist, Problems: []Problem{{
				Text: "no configuration in " + strings.Join(places, " or ") + "; truehop init writes one, or name yours with --config"}}}
		}
		path = places[i]
		if len(places) > 1 && i == 0 {
			variable = "HOME"
			if filepath.IsAbs(lookup(o.Environ, "XDG_CONFIG_HOME")) {
				variable = "XDG_CONFIG_HOME"
			}
		}
	}
	main := readDocument(path)
	if main.err != nil {
		text := unreadable(main.err)
		switch {
		case errors.Is(main.err, fs.ErrNotExist):
			text += "; correct its name, or have truehop init write it"
		case variable != "":
			text += fmt.Sprintf("; it is looked for there because of $%s: run truehop as the user whose that is, or name a file with --config", variable)
		}
		return nil, &Error{Problems: []Problem{{Source: path, Text: text}}, Err: main.err}
	}
	documents := append([]document{main}, fragments(path)...)
	defer func() {
		for _, s := range documents {
			if s.file != nil {
				_ = s.file.Close() // it was only read
			}
		}
	}()
	return parse(documents, o)
}

// Places returns where Load looks for a file that is not named, in this order.
func Places(o Options) []string {
	const system = "/etc/truehop/truehop.yaml"
	if dir := xdg(o.Environ, "XDG_CONFIG_HOME", ".config"); dir != "" {
		return []string{filepath.Join(dir, "truehop", "truehop.yaml"), system}
	}
	return []string{system}
}

// Parse reads a configuration from data. name stands for the file in errors.
func Parse(name string, data []byte, o Options) (*Config, error) {
	return parse([]document{{name: name, data: data}}, o)
}

// xdg returns the base directory that variable names, by default one below the home (XDG Base Directory Specification).
func xdg(environ []string, variable, fallback string) string {
	if dir := lookup(environ, variable); filepath.IsAbs(dir) {
		return dir
	}
	if home := lookup(environ, "HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, fallback)
	}
	return ""
}

// lookup returns the last value of a variable, as execve(2) would.
func lookup(environ []string, name string) string {
	for _, kv := range slices.Backward(environ) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// parse lays defaults, files and environment over each other and checks the result. The first one is the configuration
// file, those after it are of conf.d.
func parse(documents []document, o Options) (*Config, error) {
	name := documents[0].name
	r := &report{name: name, places: map[string]place{}, bad: map[string]bool{}}
	k := koanf.New(delim)
	if err := k.Load(confmap.Provider(defaults(reflect.TypeFor[Config]()), ""), nil); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	for i, s := range documents {
		switch {
		case s.err != nil:
			r.problems = append(r.problems, Problem{Source: s.name, Text: unreadable(s.err)})
			r.bad["accounts"] = true // that one is missing says nothing
			continue
		case s.ignored:
			r.warnings = append(r.warnings, Problem{Source: s.name, Text: "is not read; a file in conf.d ends in .yaml"})
			continue
		}
		if err := k.Load(rawbytes.Provider(s.data), &schema{report: r, name: s.name, fragment: i > 0}); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	variables := &environment{r}
	if err := k.Load(env.Provider(delim, env.Opt{
		Prefix: envPrefix, TransformFunc: variables.variable, EnvironFunc: func() []string { return o.Environ },
	}), nil); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if r.named { // keys of a target beside targets with names would look as if they held for all
		for _, at := range r.flat {
			r.wrong(at, "stands beside targets with names; put it below the name of the target that it is for")
		}
	}
	c, err := decode(k, r.named)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	c.Path, c.places = name, r.places
	for _, s := range documents {
		if s.file != nil {
			c.files = append(c.files, s.name)
		}
	}
	c.complete(o, r.given)
	for _, a := range c.Accounts {
		if i := slices.IndexFunc(documents, func(s document) bool { return s.name == r.places["accounts/"+a.Name].source }); i > 0 {
			a.File = documents[i].name
		}
	}
	check(c, r)
	for _, s := range documents {
		r.secretsAreKept(s)
	}
	for _, w := range r.warnings {
		c.Warnings = append(c.Warnings, w.String())
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// decode turns the layers into a Config, each account over defaults: over the built-in defaults. named says that targets have
// names.
func decode(k *koanf.Koanf, named bool) (*Config, error) {
	c := &Config{}
	common, accounts := k.Cut("defaults").Raw(), k.MapKeys("accounts")
	rest := k.Copy()
	rest.Delete("accounts")
	rest.Delete(injectKey)
	if err := rest.Unmarshal("", c); err != nil {
		return nil, err
	}
	var err error
	if c.Inject, err = decodeTargets(k, named); err != nil {
		return nil, err
	}
	builtin := defaults(reflect.TypeFor[Account]())
	c.Accounts = map[string]*Account{}
	for _, name := range accounts {
		own := k.Cut("accounts" + delim + name).Raw()
		if c.Accounts[name], err = decodeAccount(name, builtin, inherited(common, own), own); err != nil {
			return nil, err
		}
	}
	c.common = common
	return c, nil
}

// decodeAccount makes an account of its keys, each layer over the one before it.
func decodeAccount(name string, layers ...map[string]any) (*Account, error) {
	keys := map[string]any{}
	for _, layer := range layers {
		lay(keys, layer)
	}
	k := koanf.New(delim)
	if err := k.Load(confmap.Provider(keys, ""), nil); err != nil {
		return nil, err
	}
	a := &Account{Name: name}
	return a, k.Unmarshal("", a)
}

// lay puts keys over those of beneath; keys that hold keys are laid one by one. It changes nothing below keys.
func lay(beneath, keys map[string]any) {
	for key, value := range keys {
		below, nested := value.(map[string]any)
		if nested {
			merged, _ := beneath[key].(map[string]any)
			merged = maps.Clone(merged)
			if merged == nil {
				merged = map[string]any{}
			}
			lay(merged, below)
			value = merged
		}
		beneath[key] = value
	}
}

// inherited is what an account takes from defaults: all, but for the documents of
// a password or token, or of recipients, if it has its own. The keys of oauth are not documents of their own.
func inherited(common, own map[string]any) map[string]any {
	out := maps.Clone(common)
	for _, documents := range [][]string{slices.Concat(passwordKeys(), tokenKeys()), {"recipients", "recipient_from"}} {
		if slices.ContainsFunc(documents, func(key string) bool { return own[key] != nil }) {
			maps.DeleteFunc(out, func(key string, _ any) bool {
				shared := key == "oauth" && own[key] != nil
				return slices.Contains(documents, key) && !shared
			})
		}
	}
	if own["recipients"] != nil {
		delete(out, "recipient_domains")
		delete(out, "recipient_strip_prefix")
	}
	return out
}

// defaults returns the values of the default tags of struct type t, structs below it included.
// The block of account keys named defaults has none: they lie beneath each account.
func defaults(t reflect.Type) map[string]any {
	out := map[string]any{}
	for _, f := range fields(t) {
		def, ok := f.tag.Lookup("default")
		switch {
		case ok && f.typ.Kind() == reflect.Slice:
			out[f.name] = []any{def}
		case ok:
			out[f.name], _ = scalar(f, f.typ, def, bare)
		case f.typ.Kind() == reflect.Struct && !readsText(f.typ) && f.typ != reflect.TypeFor[Account]():
			out[f.name] = defaults(f.typ)
		}
	}
	return out
}

func (c *Config) defaultSpool() string { return filepath.Join(c.StateDir, "spool") }

// complete fills in the defaults that depend on other keys or on the host. given says whether the configuration has a key.
func (c *Config) complete(o Options, given func(path string) bool) {
	environ, secrets := o.Environ, cmp.Or(o.Secrets, containerSecrets)
	if c.StateDir == "" {
		c.StateDir = stateDir(environ, os.Geteuid() == 0 || owned(systemState))
	}
	if c.SpoolDir == "" && c.StateDir != "" {
		c.SpoolDir = c.defaultSpool()
	}
	c.getenv, c.secrets = func(name string) string { return lookup(environ, name) }, secrets
	c.stateLogin = Credentials{PasswordFile: c.StatePasswordFile, PasswordCommand: c.StatePasswordCommand, PasswordCredential: c.StatePasswordCredential,
		getenv: c.getenv, secrets: secrets, prefix: "state_"}
	for _, t := range c.Inject {
		t.getenv, t.secrets = c.getenv, c.secrets
	}
	for _, a := range c.Accounts {
		c.completeAccount(a, given)
	}
}

// completeAccount does for one account what complete does for the whole.
func (c *Config) completeAccount(a *Account, given func(path string) bool) {
	a.getenv, a.secrets = c.getenv, c.secrets
	usual := MainTarget
	if len(c.Inject) == 1 {
		usual = c.TargetNames()[0]
	}
	if a.Inject == "" && c.Inject[usual] != nil {
		a.Inject = usual
	}
	if a.OAuth.Provider != "" && a.OAuth.TokenFile == "" {
		a.OAuth.TokenFile = filepath.Join(c.StateDir, "tokens", a.Name)
	}
	if a.Protocol == POP3 {
		a.Folders = []string{""}
	}
	// The provider's preset gives the host that the account does not, and what goes with it.
	if p := a.preset(); p != nil && a.Host == "" && p.host(a.Protocol) != "" {
		a.Host = p.host(a.Protocol)
		if !given("accounts/"+a.Name+"/tls") && !given("defaults/tls") {
			a.TLS = p.tls
		}
		if a.Port == 0 && a.TLS == p.tls {
			a.Port = p.port
		}
	}
	for _, known := range wellKnownPorts() {
		fits := known.protocol == a.Protocol && (known.tls == ImplicitTLS) == (a.TLS == ImplicitTLS)
		if a.Port == 0 && fits {
			a.Port = known.port
		}
	}
}

const systemState = "/var/lib/truehop"

// stateDir is the default of state_dir: see there. ours says that the system's is.
func stateDir(environ []string, ours bool) string {
	// systemd.exec(5): several directories are separated by colons.
	if dir, _, _ := strings.Cut(lookup(environ, "STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	if ours {
		return systemState
	}
	if dir := xdg(environ, "XDG_STATE_HOME", ".local/state"); dir != "" {
		return filepath.Join(dir, "truehop")
	}
	return ""
}
