package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhoCanReadASecret: its mode, its owner, its group, and the mount that a container puts it on.
func TestWhoCanReadASecret(t *testing.T) {
	secrets, readOnly := mount{point: "/run/secrets", tmpfs: true}, mount{point: "/etc/truehop/secrets", readOnly: true}
	for _, c := range []struct {
		name string
		keeping
		want bool
	}{
		{"ours alone", keeping{mode: 0o600}, true},
		{"ours to read", keeping{mode: 0o400}, true},
		{"ours, and a group's", keeping{mode: 0o440, ourGroup: true}, false},
		{"ours, and everybody's", keeping{mode: 0o444, mount: secrets}, false},
		{"root's alone", keeping{mode: 0o400, root: true}, true},
		{"root's, for our group", keeping{mode: 0o440, root: true, ourGroup: true}, true},
		{"root's, for our group, which root can write", keeping{mode: 0o640, root: true, ourGroup: true}, true},
		{"root's, for another group", keeping{mode: 0o440, root: true}, false},
		{"root's, for our group to write", keeping{mode: 0o660, root: true, ourGroup: true}, false},
		{"root's, for everybody", keeping{mode: 0o444, root: true, mount: mount{point: "/"}}, false},
		{"root's, for everybody, among a container's secrets", keeping{mode: 0o444, root: true, mount: secrets}, true},
		{"root's, for everybody, among a container's secrets, 0644", keeping{mode: 0o644, root: true, mount: secrets}, true},
		{"root's, for everybody to write, among a container's secrets", keeping{mode: 0o666, root: true, mount: secrets}, false},
		{"root's, for everybody, mounted read-only", keeping{mode: 0o444, root: true, mount: readOnly}, true},
		{"root's, for everybody, on a system that is read-only", keeping{mode: 0o444, root: true, mount: mount{point: "/", readOnly: true}}, false},
		{"root's, for everybody, in /tmp", keeping{mode: 0o444, root: true, mount: mount{point: "/tmp", tmpfs: true}}, false},
		{"root's, for everybody, in /run", keeping{mode: 0o444, root: true, mount: mount{point: "/run", tmpfs: true}}, false},
		{"root's, for everybody, in /dev/shm", keeping{mode: 0o444, root: true, mount: mount{point: "/dev/shm", tmpfs: true}}, false},
		{"root's, for everybody, on a mount that was not found", keeping{mode: 0o444, root: true, mount: mount{tmpfs: true}}, false},
	} {
		if got := c.private(); got != c.want {
			t.Errorf("%s: private is %t, want %t", c.name, got, c.want)
		}
	}
}

// TestMountPoint: the directory of a file system of its own, as far as this machine has one.
func TestMountPoint(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err == nil {
		if got := mountPoint("/proc/self/status"); got != "/proc" {
			t.Errorf("the mount point is %q", got)
		}
		t.Chdir("/proc/self") // the path of a configuration may be relative
		if got := mountPoint("status"); got != "/proc" {
			t.Errorf("the mount point of a relative path is %q", got)
		}
	}
	if got := mountPoint(filepath.Join(t.TempDir(), "none")); got != "" {
		t.Errorf("of no file it is %q", got)
	}
}

// TestContainerSecret: without systemd, a credential is one of the container's secrets.
func TestContainerSecret(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "work"), 0o400, canary+"\n")
	put(t, filepath.Join(dir, "open"), 0o604, canary+"\n")
	for name, want := range map[string]string{"work": "", "open": "lets others read it", "none": "LoadCredential="} {
		data := strings.Replace(string(one("")), "password_file: /p", "password_credential: "+name, 1)
		c := mustParse(t, []byte(data), Options{Environ: environ, Secrets: dir})
		got, err := c.Accounts["work"].Password(t.Context())
		if want == "" && (err != nil || got.Reveal() != canary) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// TestEnvironmentAlone: without a file the environment may be the whole configuration; with no variable of ours it is none.
func TestEnvironmentAlone(t *testing.T) {
	if _, err := os.Stat("/etc/truehop/truehop.yaml"); err == nil {
		t.Skip("this machine has /etc/truehop/truehop.yaml")
	}
	home := "HOME=" + t.TempDir()
	c, err := Load("", Options{Environ: []string{
		home, "TRUEHOP_ACCOUNTS__WORK__HOST=imap.example.net", "TRUEHOP_ACCOUNTS__WORK__USER=joe",
		"TRUEHOP_ACCOUNTS__WORK__PASSWORD_CREDENTIAL=work", "TRUEHOP_ACCOUNTS__WORK__RECIPIENTS=joe@example.org, ann@example.org",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Accounts["work"]; a.Host != "imap.example.net" || len(a.Recipients) != 2 || c.Path != "the environment" {
		t.Errorf("%+v of %q", a, c.Path)
	}
	if _, err := Load("", Options{Environ: []string{home, "TRUEHOP_ACCOUNTS__WORK__HOST=imap.example.net"}}); err == nil || !strings.Contains(err.Error(), "recipients") {
		t.Errorf("an incomplete one: %v", err)
	}
	if _, err := Load("", Options{Environ: []string{home, "TRUEHOP_REQUIRE_SERVERS=1"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	if _, err := Load("/nonexistent/truehop.yaml", Options{Environ: []string{home, "TRUEHOP_ACCOUNTS__WORK__HOST=imap.example.net"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that was named: %v", err)
	}
}

// TestPinForms: with colons and without, in either case, as programs print them.
func TestPinForms(t *testing.T) {
	const want = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	for _, s := range []string{want, strings.ToUpper(want[7:]), "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"} {
		var p Pin
		if err := p.UnmarshalText([]byte("sha256:" + strings.TrimPrefix(s, "sha256:"))); err != nil || p.String() != want {
			t.Errorf("%s is read as %s, %v", s, p, err)
		}
	}
}

// TestCertificateOfOurOwn: the key is kept as a password is, and what is wrong with it never shows it.
func TestCertificateOfOurOwn(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "open.key"), 0o604, canary)
	put(t, filepath.Join(dir, "odd.key"), 0o600, canary)
	put(t, filepath.Join(dir, "odd.pem"), 0o644, canary)
	for _, c := range []struct{ certificate, key, want string }{
		{"odd.pem", "open.key", "tls_key_file " + dir + "/open.key: mode 0604"},
		{"odd.pem", "none.key", "no such file"},
		{"none.pem", "odd.key", "tls_cert_file " + dir + "/none.pem: no such file"},
		{"odd.pem", "odd.key", "do not go together"},
	} {
		l := Line{TLSCertFile: filepath.Join(dir, c.certificate), TLSKeyFile: filepath.Join(dir, c.key)}
		_, err := l.Certificate()
		var secret *SecretError
		if !errors.As(err, &secret) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s, %s: %v, want %q", c.certificate, c.key, err, c.want)
		}
	}
}
