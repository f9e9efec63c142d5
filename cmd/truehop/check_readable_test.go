package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// TestCheckFindsWhatTheServiceMayNotRead: whatever the service reads when it starts or connects is looked at for its user, not for root:
// all files of the configuration, and what the keys of the database and of the target name.
func TestCheckFindsWhatTheServiceMayNotRead(t *testing.T) {
	const stranger = 54321
	for name, says := range map[string]string{
		"":                 "",
		"truehop.yaml":     "configuration: FILE: #54321 may not read it\n  chown #54321 FILE",
		"conf.d/home.yaml": "configuration: FILE: #54321 may not read it\n  chown #54321 FILE",
		"conf.d":           "configuration: FILE: #54321 may not read it\n  give #54321 the right to read it, as by chmod go+rx FILE",
		"accounts.key":     "accounts_key_file FILE: FILE: #54321 may not read it",
		"state.pass":       "state_password_file FILE: FILE: #54321 may not read it",
		"mta.pass":         "inject.password_file FILE: FILE: #54321 may not read it",
		"mta.pem":          "inject.tls_ca_file FILE: FILE: #54321 may not read it",
	} {
		t.Run("closed "+name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "conf.d"), 0o755)); err != nil {
				t.Fatal(err)
			}
			if err := app.Access(dir, stranger, app.MaySearch); err != nil {
				t.Skip("temporary files are kept where others may not look: ", err)
			}
			const account = "{host: imap.example.net, user: %s, password_file: /p, recipients: [joe@example.org]}"
			for file, text := range map[string]string{
				"truehop.yaml": strings.ReplaceAll("state_dir: DIR\nstate: postgres://u@127.0.0.1:1/x\nstate_password_file: DIR/state.pass\naccounts_from: postgres\naccounts_key_file: DIR/accounts.key\n"+
					"inject: {address: \"127.0.0.1:1\", tls: starttls, tls_ca_file: DIR/mta.pem, user: u, password_file: DIR/mta.pass}\n", "DIR", dir) +
					"accounts:\n  work: " + fmt.Sprintf(account, "joe") + "\n",
				"conf.d/home.yaml": "accounts:\n  home: " + fmt.Sprintf(account, "jane") + "\n",
				"accounts.key":     "", "state.pass": "", "mta.pass": "", "mta.pem": "",
			} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cfg, err := config.Load(filepath.Join(dir, "truehop.yaml"), configOptions())
			if err != nil {
				t.Fatal(err)
			}
			closed := filepath.Join(dir, name)
			if info, err := os.Stat(closed); err != nil {
				t.Fatal(err)
			} else if name != "" {
				if err := os.Chmod(closed, info.Mode()&^0o044); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			checkConfiguration(cfg, stranger).Print(&out, true)
			checkState(t.Context(), cfg, stranger).Print(&out, true)
			checkMTA(t.Context(), cfg.Inject["main"], judgedOf(cfg), stranger).Print(&out, true)
			says := strings.ReplaceAll(says, "FILE", closed)
			if may := !strings.Contains(out.String(), "may not"); may != (says == "") || !strings.Contains(out.String(), says) {
				t.Errorf("want %q in\n%s", says, &out)
			}
		})
	}
}
