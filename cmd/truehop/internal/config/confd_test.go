package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// confTree writes a configuration file and files of conf.d beside it, and returns the path of the first. The modes of the files
// are 0600 but for those that modes names.
func confTree(t *testing.T, main string, added map[string]string, modes map[string]os.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, confDir), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(path, data string) {
		mode := os.FileMode(0o600)
		if m, ok := modes[filepath.Base(path)]; ok {
			mode = m
		}
		if err := errors.Join(os.WriteFile(path, []byte(data), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "truehop.yaml"), main)
	for name, data := range added {
		write(filepath.Join(dir, confDir, name), data)
	}
	return filepath.Join(dir, "truehop.yaml")
}

const (
	mainWithDefaults = "defaults: {recipients: [joe@example.org], retry_max: 3h}\n"
	mainWithAccount  = mainWithDefaults + "accounts:\n  home: {host: imap.example.net, user: joe, password: home-secret}\n"
)

func added(name string) string {
	return "accounts:\n  " + name + ":\n    host: imap.example.com\n    user: " + name + "\n    password: " + canary + "\n"
}

// TestConfDirAddsAccounts: each file adds its account, below the defaults of the configuration file, which may have none itself.
func TestConfDirAddsAccounts(t *testing.T) {
	for _, c := range []struct {
		name, main string
		files      map[string]string
		want       string
		warning    string
	}{
		{"beside accounts", mainWithAccount, map[string]string{"a.yaml": added("work"), "b.yaml": added("club")}, "club home work", ""},
		{"where there are no others", mainWithDefaults, map[string]string{"work.yaml": added("work")}, "work", ""},
		{"an editor's files are not read", mainWithAccount, map[string]string{".work.yaml": "{", "work.yaml~": "{", "README": "{"}, "home", ""},
		{"a name with another end is told of", mainWithAccount, map[string]string{"work.yml": "{"}, "home", "ends in .yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := confTree(t, c.main, c.files, nil)
			cfg, err := Load(path, options())
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(cfg.Names(), " "); got != c.want {
				t.Errorf("accounts %s, want %s", got, c.want)
			}
			if got := strings.Join(cfg.Warnings, "\n"); !strings.Contains(got, c.warning) || (c.warning == "") != (got == "") {
				t.Errorf("warnings %q, want one with %q", got, c.warning)
			}
			for name, a := range cfg.Accounts {
				file := ""
				if name != "home" {
					file = filepath.Join(filepath.Dir(path), confDir)
				}
				if a.RetryMax.Hours() != 3 || !strings.HasPrefix(a.File, file) || (file == "") != (a.File == "") {
					t.Errorf("%s: retry_max %v, in %s; want that of defaults, in %s", name, a.RetryMax, a.File, file)
				}
			}
		})
	}
}

// TestConfDirIsStrict: what is wrong in any of the files is told at once, by file, line and column.
func TestConfDirIsStrict(t *testing.T) {
	for _, c := range []struct {
		name, main string
		files      map[string]string
		modes      map[string]os.FileMode
		want       []string // a line each, DIR for the directory
	}{
		{"an account that the main file has", mainWithAccount, map[string]string{"h.yaml": added("home")}, nil,
			[]string{"DIR/conf.d/h.yaml:2:3: accounts.home: is in DIR/truehop.yaml:3:3 already; keep one of the two"}},
		{"an account that another file has", mainWithDefaults, map[string]string{"a.yaml": added("work"), "b.yaml": added("work")}, nil,
			[]string{"DIR/conf.d/b.yaml:2:3: accounts.work: is in DIR/conf.d/a.yaml:2:3 already; keep one of the two"}},
		{"a misspelt key in each file", mainWithDefaults + "passess: 3\n",
			map[string]string{"a.yaml": added("work") + "    hsot: x\n", "b.yaml": added("club") + "    idel: false\n"}, nil,
			[]string{`DIR/truehop.yaml:2:1: passess: unknown key; did you mean "passes"?`, `DIR/conf.d/a.yaml:6:5: accounts.work.hsot: unknown key; did you mean "host"?`,
				`DIR/conf.d/b.yaml:6:5: accounts.club.idel: unknown key; did you mean "idle"?`}},
		{"two accounts", mainWithDefaults, map[string]string{"a.yaml": added("work") + "  club: {host: imap.example.com, user: joe, password: x}\n"}, nil,
			[]string{"DIR/conf.d/a.yaml:6:3: a second account; a file in conf.d holds one, give it a file of its own"}},
		{"a key for all", mainWithDefaults, map[string]string{"a.yaml": "passes: 3\n" + added("work")}, nil,
			[]string{"DIR/conf.d/a.yaml:1:1: passes belongs in DIR/truehop.yaml; a file in conf.d holds one account, below accounts:"}},
		{"no account", mainWithAccount, map[string]string{"a.yaml": "# soon\n", "b.yaml": "{}\n"}, nil,
			[]string{"DIR/conf.d/a.yaml: holds no account; a file in conf.d begins with accounts: and has one below it",
				"DIR/conf.d/b.yaml: holds no account; a file in conf.d begins with accounts: and has one below it"}},
		{"keys without a name", mainWithAccount, map[string]string{"a.yaml": "host: imap.example.com\n"}, nil,
			[]string{"DIR/conf.d/a.yaml: holds no account; a file in conf.d begins with accounts: and has one below it",
				"DIR/conf.d/a.yaml:1:1: host: unknown key; it belongs below accounts.NAME"}},
		{"not YAML", mainWithAccount, map[string]string{"a.yaml": "accounts:\n  work: {host: \"imap.example.com}\n"}, nil,
			[]string{"DIR/conf.d/a.yaml:3:1: a quotation mark or bracket is not closed"}},
		{"what is missing", mainWithDefaults, map[string]string{"a.yaml": "accounts:\n  work: {host: imap.example.com, user: joe}\n"}, nil,
			[]string{"DIR/conf.d/a.yaml:2:3: accounts.work.password_file: there is no password; give one of"}},
		{"a password that others can read", mainWithAccount, map[string]string{"a.yaml": added("work")}, map[string]os.FileMode{"a.yaml": 0o644},
			[]string{"DIR/conf.d/a.yaml:5:15: accounts.work.password: a password in a file that others can read: mode 0644 lets others read it: chmod 600"}},
		{"a file that others can write", mainWithAccount, map[string]string{"a.yaml": added("work")}, map[string]os.FileMode{"a.yaml": 0o666},
			[]string{"DIR/conf.d/a.yaml: mode 0666 lets others write it: chmod go-w"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := confTree(t, c.main, c.files, c.modes)
			_, err := Load(path, options())
			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(strings.ReplaceAll(err.Error(), filepath.Dir(path), "DIR"), "\n")
			for i, want := range c.want {
				if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
					t.Errorf("problem %d is not %s", i, want)
				}
			}
			if len(lines) != len(c.want) || strings.Contains(err.Error(), canary) {
				t.Errorf("%d problems, want %d:\n%s", len(lines), len(c.want), strings.Join(lines, "\n"))
			}
		})
	}
}

// TestConfDirThatIsAFile: what cannot be listed is told of.
func TestConfDirThatIsAFile(t *testing.T) {
	path := confTree(t, mainWithAccount, nil, nil)
	dir := filepath.Join(filepath.Dir(path), confDir)
	if err := errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, options()); err == nil || !strings.Contains(err.Error(), dir+": cannot be read: not a directory") {
		t.Errorf("%v, want that %s cannot be read", err, dir)
	}
}

// TestLoginBasisOfConfDir: a password in a file of conf.d is another one when that file was written.
func TestLoginBasisOfConfDir(t *testing.T) {
	path := confTree(t, mainWithDefaults, map[string]string{"a.yaml": added("work")}, nil)
	basis := func() string {
		cfg, err := Load(path, options())
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Accounts["work"].LoginBasis(cfg.Path)
	}
	before := basis()
	if basis() != before {
		t.Error("the same credentials have two bases")
	}
	file := filepath.Join(filepath.Dir(path), confDir, "a.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(added("work"), canary, "another", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if basis() == before {
		t.Error("another password has the same basis")
	}
}

// TestFilesOfAConfiguration: whoever is to read a configuration needs all that was read for it, and nothing that was not.
func TestFilesOfAConfiguration(t *testing.T) {
	path := confTree(t, mainWithAccount, map[string]string{"a.yaml": added("work"), "b.yml": "{", ".c.yaml": "{"}, nil)
	dir := filepath.Join(filepath.Dir(path), confDir)
	cfg, err := Load(path, options())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Files(), []string{dir, path, filepath.Join(dir, "a.yaml")}; !slices.Equal(got, want) {
		t.Errorf("with conf.d: %q, want %q", got, want)
	}
	alone := configFile(t, 0o600, withPassword)
	if cfg, err = Load(alone, options()); err != nil {
		t.Fatal(err)
	}
	if got := cfg.Files(); !slices.Equal(got, []string{alone}) {
		t.Errorf("without conf.d: %q", got)
	}
	if got := mustParse(t, one(""), options()).Files(); len(got) > 0 {
		t.Errorf("without a file: %q", got)
	}
}
