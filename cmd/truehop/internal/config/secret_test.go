package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const canary = "canary-7f3a"

// TestSecretHints: a password that cannot be had comes with what to do about it, on what it is read from.
func TestSecretHints(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{empty: "first and only line", filepath.Join(dir, "none"): "create it"} {
		_, err := (&Credentials{PasswordFile: path}).Password(t.Context())
		var secret *SecretError
		if !errors.As(err, &secret) || !strings.Contains(secret.Hint(), want) {
			t.Errorf("%v: want a hint with %q", err, want)
		}
	}
	denied := &SecretError{Source: "password_file x", Err: syscall.EACCES} // root would be let in
	if !strings.Contains(denied.Hint(), fmt.Sprintf("uid %d", os.Geteuid())) {
		t.Errorf("the hint is %q", denied.Hint())
	}
	for _, other := range []*SecretError{{"password_file x", errors.New("holds a NUL octet")}, {"password_command x", syscall.EACCES}} {
		if other.Hint() != "" {
			t.Errorf("%v: the hint is %q", other, other.Hint())
		}
	}
}

// However a Secret is printed, alone or inside something, it prints as ***.
func TestSecretNeverPrints(t *testing.T) {
	s := NewSecret(canary)
	hidden := struct{ inner struct{ s Secret } }{struct{ s Secret }{s}}
	var out strings.Builder
	for _, v := range []any{s, &s, []Secret{s}, map[string]Secret{"x": s}, hidden, &hidden, Credentials{InlinePassword: s}, Account{Credentials: Credentials{InlinePassword: s}}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	js, err := json.Marshal(struct{ A, B any }{s, Credentials{InlinePassword: s}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "s", s, "p", &s, "c", Credentials{InlinePassword: s})
	}
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q found in:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), mask) || s.Reveal() != canary {
		t.Errorf("masked %v, revealed %q", strings.Contains(out.String(), mask), s.Reveal())
	}
}

// What is wrong with a configuration never shows the password in it.
func TestErrorsHideSecrets(t *testing.T) {
	for _, data := range []string{
		"accounts: {a: {password: [" + canary + "]}}",
		"accounts: {a: {password: {x: " + canary + "}}}",
		"accounts: {a: {password: \"" + canary + "\\r\\n\"}}",
		"accounts: {a: {password: \"x\", password: " + canary + "}}",
		"accounts: {a: {password: !x " + canary + "}}",
	} {
		_, err := Parse("x.yaml", []byte(data), options())
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", data, err)
		}
	}
}

// configFile writes a configuration below a directory that only we can write.
func configFile(t *testing.T, mode os.FileMode, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "truehop.yaml")
	put(t, path, mode, data)
	return path
}

func put(t *testing.T, path string, mode os.FileMode, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

const withPassword = `accounts: {a: {host: imap.example.net, user: joe, password: "` + canary + `", recipients: [joe@example.org]}}`

// A configuration with a password in it is read by its owner alone; none is written by others.
func TestConfigFileMode(t *testing.T) {
	without := string(one(""))
	for _, tc := range []struct {
		name string
		mode os.FileMode
		data string
		want string // "" is accepted
	}{
		{"no password, readable by all", 0o644, without, ""},
		{"no password, readable by the group", 0o640, without, ""},
		{"password, for its owner", 0o600, withPassword, ""},
		{"password, for its owner to read", 0o400, withPassword, ""},
		{"password, readable by all", 0o644, withPassword, "chmod 600"},
		{"password, readable by others but the group", 0o604, withPassword, "chmod 600"},
		{"writable by the group", 0o660, without, "chmod go-w"},
		{"writable by others", 0o602, without, "chmod go-w"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := configFile(t, tc.mode, tc.data)
			c, err := Load(path, options())
			if tc.want == "" {
				if err != nil || c.Path != path {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			var bad *Error
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), canary) {
				t.Errorf("want an error with %q and the path, got %v", tc.want, err)
			}
		})
	}
}

// Whoever can write the directory can put another file there; whoever owns the
// link can point it elsewhere.
func TestConfigFilePlace(t *testing.T) {
	t.Run("writable parent", func(t *testing.T) {
		path := configFile(t, 0o600, withPassword)
		if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		refused(t, path, "others can replace it")
	})
	t.Run("sticky parent", func(t *testing.T) {
		path := configFile(t, 0o600, withPassword)
		if err := os.Chmod(filepath.Dir(path), 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, options()); err != nil {
			t.Error(err)
		}
	})
	t.Run("own link", func(t *testing.T) {
		path := configFile(t, 0o600, withPassword)
		if err := os.Symlink(path, path+".link"); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path+".link", options()); err != nil {
			t.Error(err)
		}
	})
	t.Run("fifo", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, path, "not a regular file")
	})
	t.Run("directory", func(t *testing.T) { refused(t, t.TempDir(), "is a directory; name the file in it") })
	t.Run("none", func(t *testing.T) { refused(t, filepath.Join(t.TempDir(), "x.yaml"), "no such file") })
	t.Run("huge", func(t *testing.T) {
		refused(t, configFile(t, 0o600, strings.Repeat("#\n", maxFile)), "larger than")
	})
}

// Files of another user. Only root can make them.
func TestForeignOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	const nobody = 65534
	t.Run("file", func(t *testing.T) {
		path := configFile(t, 0o600, string(one("")))
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		refused(t, path, "belongs to uid 65534")
		refused(t, path, "run it as that user, as by sudo -u nobody truehop check")
		if _, err := Load(path, options()); strings.Contains(fmt.Sprint(err), "chown") {
			t.Errorf("root is told to take the file from the service: %v", err)
		}
	})
	t.Run("file of a user without a name", func(t *testing.T) {
		path := configFile(t, 0o600, string(one("")))
		if err := os.Chown(path, 54321, 54321); err != nil {
			t.Fatal(err)
		}
		refused(t, path, "sudo -u '#54321' truehop check")
	})
	t.Run("link", func(t *testing.T) {
		path := configFile(t, 0o600, withPassword)
		if err := errors.Join(os.Symlink(path, path+".link"), os.Lchown(path+".link", nobody, nobody)); err != nil {
			t.Fatal(err)
		}
		refused(t, path+".link", "symbolic link of uid 65534")
	})
	t.Run("directory", func(t *testing.T) {
		path := configFile(t, 0o600, withPassword)
		if err := os.Chown(filepath.Dir(path), nobody, nobody); err != nil {
			t.Fatal(err)
		}
		refused(t, path, "others can replace it")
	})
}

// TestRootOnASecretForAGroup: what root has for the group of a service is not told to be taken from it, in a password file and in a
// configuration that holds a password; root itself does not read it, for it does not know who is in that group.
func TestRootOnASecretForAGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	const daemon, nameless = 1, 54321
	for _, c := range []struct {
		name  string
		mode  os.FileMode
		group int
		want  []string // nil is accepted
	}{
		{"root's group", 0o640, 0, nil},
		{"a group of a user's", 0o640, daemon, []string{"mode 0640 lets the group daemon read it", "run it as that user, as by sudo -u daemon truehop check"}},
		{"a group of a user's, to read", 0o440, daemon, []string{"mode 0440 lets the group daemon read it", "sudo -u daemon truehop check"}},
		{"a group without a name", 0o640, nameless, []string{"lets the group 54321 read it", "sudo -u USER truehop check"}},
		{"a group and all others", 0o644, daemon, []string{"mode 0644 lets others read it: chmod 600"}},
	} {
		t.Run(strings.ReplaceAll(c.name, ",", ""), func(t *testing.T) {
			secret, file := configFile(t, c.mode, canary), configFile(t, c.mode, withPassword)
			if err := errors.Join(os.Chown(secret, 0, c.group), os.Chown(file, 0, c.group)); err != nil {
				t.Fatal(err)
			}
			_, ofSecret := (&Credentials{PasswordFile: secret}).Password(t.Context())
			_, ofFile := Load(file, options())
			for _, err := range []error{ofSecret, ofFile} {
				if (err == nil) != (c.want == nil) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				for _, want := range c.want {
					if !strings.Contains(fmt.Sprint(err), want) {
						t.Errorf("%v; want %q", err, want)
					}
				}
			}
		})
	}
}

func refused(t *testing.T, path, want string) {
	t.Helper()
	_, err := Load(path, options())
	var bad *Error
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
		t.Errorf("want an *Error with %q, got %v", want, err)
	}
}

// What was checked is what is read, though the name points elsewhere by then.
func TestSwappedFile(t *testing.T) {
	path := configFile(t, 0o600, "first")
	f, err := openChecked(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put(t, path+".new", 0o644, "second")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if data, err := f.read(maxFile); string(data) != "first" || err != nil || f.private() != nil {
		t.Errorf("read %q, %v, %v", data, err, f.private())
	}
}

func TestSearchOrder(t *testing.T) {
	home, xdgHome := t.TempDir(), t.TempDir()
	env := []string{"HOME=" + home}
	_, err := Load("", Options{Environ: env})
	if _, there := os.Stat("/etc/truehop/truehop.yaml"); there != nil {
		if err == nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), home+"/.config/truehop/truehop.yaml or /etc/truehop/truehop.yaml") {
			t.Errorf("nothing there: %v", err)
		}
	}
	for _, dir := range []string{home + "/.config", xdgHome} {
		if err := os.MkdirAll(dir+"/truehop", 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, dir+"/truehop/truehop.yaml", 0o600, string(one("")))
	}
	for _, tc := range []struct {
		env  []string
		want string
	}{{env, home + "/.config"}, {append(env, "XDG_CONFIG_HOME="+xdgHome), xdgHome}, {append(env, "XDG_CONFIG_HOME=relative"), home + "/.config"}} {
		c, err := Load("", Options{Environ: tc.env})
		if err != nil || c.Path != tc.want+"/truehop/truehop.yaml" {
			t.Errorf("%v: %+v, %v", tc.env, c, err)
		}
	}
}

// Every octet of a password arrives or is refused; nothing is interpreted.
func TestPasswordFile(t *testing.T) {
	for in, want := range map[string]string{
		`a"b'c\d^e%f g`: `a"b'c\d^e%f g`, " blanks \t": " blanks \t", "pässwörd": "pässwörd", "line\n": "line", "dos\r\n": "dos",
		"$HOME`id`": "$HOME`id`", "# no comment": "# no comment",
		"": "", "\n": "", "two\nlines": "", "a\rb": "", "nul\x00": "", "x\n\n": "",
	} {
		c := &Credentials{PasswordFile: configFile(t, 0o600, in)}
		got, err := c.Password(t.Context())
		if got.Reveal() != want || (err == nil) != (want != "") {
			t.Errorf("file %q: %q, %v; want %q", in, got.Reveal(), err, want)
		}
		var se *SecretError
		if err != nil && (!errors.As(err, &se) || len(in) > 2 && strings.Contains(err.Error(), in)) {
			t.Errorf("file %q: error %v", in, err)
		}
	}
	for mode, want := range map[os.FileMode]string{0o600: "", 0o400: "", 0o604: "chmod 600", 0o644: "chmod 600", 0o620: "chmod go-w"} {
		c := &Credentials{PasswordFile: configFile(t, mode, canary)}
		if _, err := c.Password(t.Context()); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("mode %04o: %v, want %q", mode, err, want)
		}
	}
	c := &Credentials{PasswordFile: configFile(t, 0o600, strings.Repeat("x", maxSecret+1))}
	if _, err := c.Password(t.Context()); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("huge file: %v", err)
	}
}

func TestPasswordCredential(t *testing.T) {
	dir := t.TempDir()
	// systemd hands credentials out by an ACL, which shows as a group permission.
	put(t, dir+"/work", 0o440, canary+"\n")
	if err := os.Symlink("/etc/hostname", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ env, name, want string }{
		{"CREDENTIALS_DIRECTORY=" + dir, "work", ""},
		{"CREDENTIALS_DIRECTORY=" + dir, "other", "no such file"}, {"CREDENTIALS_DIRECTORY=" + dir, "link", "symbolic link"},
	} {
		c := mustParse(t, []byte(strings.Replace(string(one("")), "password_file: /p", "password_credential: "+tc.name, 1)), options(tc.env))
		got, err := c.Accounts["work"].Password(t.Context())
		if tc.want == "" && (err != nil || got.Reveal() != canary) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s %s: %q, %v; want %q", tc.env, tc.name, got.Reveal(), err, tc.want)
		}
	}
}

// What a command prints is never shown.
func TestPasswordCommand(t *testing.T) {
	for _, tc := range []struct{ name, script, want, fault string }{
		{"good", `printf 'sesame\n'`, "sesame", ""},
		{"quotes", `printf '%s' 'a"b\c^%d e'`, `a"b\c^%d e`, ""},
		{"status", `echo ` + canary + `; echo ` + canary + ` >&2; exit 3`, "", "exit status 3"},
		{"empty", `exit 0`, "", "is empty"},
		{"newline", `echo`, "", "is empty"},
		{"large", `head -c 1000000 /dev/zero`, "", "more than 16384 octets"},
		{"endless", `while :; do echo ` + canary + `; done`, "", "more than 16384 octets"},
		{"stderr", `echo ` + canary + ` >&2; echo sesame`, "sesame", ""},
		{"no input", `cat; echo sesame`, "sesame", ""},
		{"environment", `env | cut -d= -f1 | grep -v -e '^PWD$' -e '^_$' -e '^SHLVL$' | sort | tr '\n' ' '`, "HOME LANG PATH ", ""},
		{"argument", `printf %s "$1"`, "$HOME; id", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := map[string]string{"PATH": os.Getenv("PATH"), "HOME": "/", "LANG": "C", "SECRET": canary}
			c := &Credentials{PasswordCommand: []string{"/bin/sh", "-c", tc.script, "sh", "$HOME; id"}, getenv: func(n string) string { return env[n] }}
			got, err := c.Password(t.Context())
			if got.Reveal() != tc.want || (err == nil) != (tc.fault == "") {
				t.Fatalf("got %q, %v; want %q, %q", got.Reveal(), err, tc.want, tc.fault)
			}
			var se *SecretError
			if err != nil && (!errors.As(err, &se) || !strings.Contains(err.Error(), tc.fault) || strings.Contains(err.Error(), canary)) {
				t.Errorf("error %v, want a *SecretError with %q", err, tc.fault)
			}
		})
	}
	c := &Credentials{PasswordCommand: []string{"/nonexistent/program"}}
	if _, err := c.Password(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing program: %v", err)
	}
}

// A command that hangs is ended with all its children, though they hold its output open.
func TestPasswordCommandEnds(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	gone := make(chan error, 1)
	go func() {
		f, err := os.Open(fifo) // waits for the command to open it
		cancel()
		if err == nil {
			_, err = io.ReadAll(f) // ends when the last process that has it open ends
		}
		gone <- err
	}()
	c := &Credentials{PasswordCommand: []string{"/bin/sh", "-c", `exec 3>"$1"; sleep 1000 & wait`, "sh", fifo}}
	if _, err := c.Password(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
}

func TestPasswordSources(t *testing.T) {
	for _, c := range []*Credentials{{}, {PasswordFile: "/a", PasswordCredential: "b"}} {
		var se *SecretError
		if _, err := c.Password(t.Context()); !errors.As(err, &se) || !strings.Contains(err.Error(), "exactly one") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	c := &Credentials{InlinePassword: NewSecret("inline")}
	if s, err := c.Password(t.Context()); err != nil || s.Reveal() != "inline" {
		t.Errorf("inline: %q %v", s.Reveal(), err)
	}
}

// TestMissingCredentialNamesTheOtherKey: what to use in place of a credential that was not given to the program is a key that is there.
func TestMissingCredentialNamesTheOtherKey(t *testing.T) {
	o := options()
	o.Secrets = t.TempDir()
	c := mustParse(t, []byte("state: postgres://u@/x\nstate_password_credential: absent\naccounts_from: postgres\naccounts_key_credential: absent\n"+
		strings.Replace(string(one("")), "password_file: /p", "password_credential: absent", 1)), o)
	for want, ask := range map[string]func() error{
		"password_credential absent: ":       func() error { _, err := c.Accounts["work"].Password(t.Context()); return err },
		"state_password_credential absent: ": func() error { _, err := c.StatePassword(t.Context()); return err },
		"accounts_key_credential absent: ":   func() error { _, err := c.AccountKeys(); return err },
	} {
		file := strings.Replace(strings.TrimSuffix(want, " absent: "), "_credential", "_file", 1)
		if err := ask(); err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), " or use "+file) {
			t.Errorf("%v; want %q, and %s in its place", err, want, file)
		}
	}
}
