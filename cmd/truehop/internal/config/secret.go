package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/sealed"
)

const (
	// maxSecret bounds a password; tokens are longer than what people choose.
	maxSecret = 16 << 10
	// commandTime is how long password_command or token_command may take.
	commandTime = 30 * time.Second
)

// SecretError says why there is no password. It is a matter of EX_NOPERM (77).
// It never holds what was read.
type SecretError struct {
	// Source is the key and what it names, such as password_file /etc/truehop/work.
	Source string
	Err    error
}

// Error returns source and reason.
func (e *SecretError) Error() string { return e.Source + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *SecretError) Unwrap() error { return e.Err }

// Hint says what to do about a file that cannot be had, or is "".
func (e *SecretError) Hint() string {
	key, _, _ := strings.Cut(e.Source, " ")
	switch {
	case !strings.HasSuffix(key, "_file"):
		return ""
	case errors.Is(e.Err, fs.ErrPermission):
		return fmt.Sprintf("the user who runs truehop, here uid %d, must be able to read it and to search its directory; chown it to that user", os.Geteuid())
	case errors.Is(e.Err, fs.ErrNotExist):
		return "create it, for the user who runs truehop alone, or correct its name"
	case errors.Is(e.Err, errEmpty):
		return "the password must be its first and only line"
	}
	return ""
}

// errEmpty is where a password should be and is none.
var errEmpty = errors.New("is empty")

// passwordKeys are the keys that name a source of a password. tokenKeys, of an account, take its place.
func passwordKeys() []string {
	return []string{"password_file", "password_command", "password_credential", "password"}
}

func tokenKeys() []string { return []string{"token_command", "oauth"} }

// sources returns which of passwordKeys are set.
func (c *Credentials) sources() []string {
	set := []bool{c.PasswordFile != "", len(c.PasswordCommand) > 0, c.PasswordCredential != "", !c.InlinePassword.IsZero()}
	var out []string
	for i, key := range passwordKeys() {
		if set[i] {
			out = append(out, key)
		}
	}
	if c.sealed != nil {
		out = append(out, "secret")
	}
	return out
}

// Password fetches the password from the source that was configured. It asks
// anew each time, so that a changed one is seen. The error is a [*SecretError].
func (c *Credentials) Password(ctx context.Context) (Secret, error) {
	var data []byte
	var err error
	source := strings.Join(c.sources(), "+")
	switch source {
	case "password":
		data = []byte(c.InlinePassword.Reveal())
	case "password_file":
		source += " " + c.PasswordFile
		data, err = readPrivate(c.PasswordFile)
	case "password_credential":
		source += " " + c.PasswordCredential
		data, err = c.credential(c.PasswordCredential, c.prefix+"password_file")
	case "secret":
		source += " of account " + c.sealed.account
		var keys sealed.Keys // read each time, as a password_file is
		if keys, err = c.keys(c.sealed.keyFile, c.sealed.keyCredential); err == nil {
			var password string
			password, err = keys.Open(c.sealed.account, c.sealed.data)
			data = []byte(password)
		}
	case "password_command":
		source += " " + c.PasswordCommand[0]
		data, err = c.run(ctx, c.PasswordCommand)
	default:
		source, err = "password", errors.New("want exactly one source of a password")
	}
	if err == nil {
		data, err = firstLine(data)
	}
	if err != nil {
		return Secret{}, &SecretError{Source: c.prefix + source, Err: err}
	}
	return NewSecret(string(data)), nil
}

// firstLine cuts one line end. A password that holds another, or NUL, cannot be sent by every
// mechanism and is most likely a wrong file.
func firstLine(data []byte) ([]byte, error) {
	data, _ = bytes.CutSuffix(data, []byte("\n"))
	data, _ = bytes.CutSuffix(data, []byte("\r"))
	switch {
	case len(data) == 0:
		return nil, errEmpty
	case bytes.ContainsAny(data, "\r\n"):
		return nil, errors.New("holds more than one line; the password must be its only one")
	case bytes.IndexByte(data, 0) >= 0:
		return nil, errors.New("holds a NUL octet")
	}
	return data, nil
}

// readPrivate reads a file that only its owner can read.
func readPrivate(path string) ([]byte, error) {
	f, err := openChecked(path)
	if err != nil {
		return nil, plainError(err)
	}
	defer f.Close()
	if err := f.private(); err != nil {
		return nil, err
	}
	return f.read(maxSecret)
}

// containerSecrets is where containers have the secrets that they were given.
const containerSecrets = "/run/secrets"

// credential reads a file below $CREDENTIALS_DIRECTORY, or, where systemd did not start us, among the secrets of a
// container. systemd has seen to who can read it, by an ACL that shows as a group permission, so that the mode says nothing. instead is the key
// that names a file in place of it.
func (c *Credentials) credential(name, instead string) ([]byte, error) {
	dir := c.lookup("CREDENTIALS_DIRECTORY")
	if !filepath.IsAbs(dir) {
		data, err := readPrivate(filepath.Join(c.secrets, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no $CREDENTIALS_DIRECTORY, and no such file in %s; start truehop by systemd with LoadCredential=, give the container the secret, or use %s", c.secrets, instead)
		}
		return data, err
	}
	fd, err := os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plainError(err)
	}
	defer fd.Close()
	if info, err := fd.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	return (&file{File: fd}).read(maxSecret)
}

// plainError drops the path from an error of package os; the source names it already.
func plainError(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// run runs password_command or token_command: no shell, no input, a bare environment, and nothing of what it prints is logged.
func (c *Credentials) run(ctx context.Context, argv []string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTime, fmt.Errorf("took longer than %v", commandTime))
	defer cancel()
	out := &bounded{limit: maxSecret, cancel: cancel}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = c.environment("PATH", "HOME", "LANG")
	cmd.Dir = "/"
	cmd.Stdout = out
	// Children of the command may hold its output open: the whole group goes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case out.over:
		return nil, fmt.Errorf("printed more than %d octets", maxSecret)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &exit):
		return nil, fmt.Errorf("%v; run it by hand to see why", exit)
	case err != nil:
		return nil, plainError(err)
	}
	return out.data.Bytes(), nil
}

// CommandEnv is the environment of connect_command: bare, but for the agent that holds the keys of ssh.
func (a *Account) CommandEnv() []string {
	return a.environment("PATH", "HOME", "LANG", "SSH_AUTH_SOCK")
}

// environment returns those of the variables that are set, and a PATH.
func (c *Credentials) environment(names ...string) []string {
	out := []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	for _, name := range names {
		if v := c.lookup(name); v != "" {
			out = append(out, name+"="+v) // the last one counts
		}
	}
	return out
}

func (c *Credentials) lookup(name string) string {
	if c.getenv == nil {
		return ""
	}
	return c.getenv(name)
}

// bounded gathers output up to limit and ends the command above it.
type bounded struct {
	data   bytes.Buffer
	limit  int
	over   bool
	cancel context.CancelFunc
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.data.Len()+len(p) > b.limit {
		b.over = true
		b.cancel()
		return 0, io.ErrShortBuffer
	}
	return b.data.Write(p)
}
