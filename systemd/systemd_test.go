// Package systemd holds units; its tests ask systemd's own tools what they are worth.
package systemd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tool returns the path of one of systemd's programs, or ends the test: as a
// failure where the environment says that everything is installed.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// tree makes a root directory with the given files, each a copy of one of ours or,
// with source "", a stub.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, source := range files {
		data, mode := []byte("#!/bin/sh\n"), os.FileMode(0o755)
		if strings.HasSuffix(path, ".target") {
			data, mode = []byte("[Unit]\nDescription=stub\n"), 0o644
		}
		if source != "" {
			var err error
			if data, err = os.ReadFile(source); err != nil {
				t.Fatal(err)
			}
			mode = 0o644
		}
		dst := filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(dst), 0o755), os.WriteFile(dst, data, mode)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// units is a root with our units and what they pull in.
func units(t *testing.T, more map[string]string) string {
	files := map[string]string{"usr/local/bin/truehop": "", "bin/kill": ""}
	for _, u := range []string{"truehop.service", "truehop@.service", "truehop@.timer"} {
		files["etc/systemd/system/"+u] = u
	}
	for _, u := range []string{"sysinit", "basic", "shutdown", "multi-user", "timers", "time-set", "time-sync", "network-online", "nss-lookup"} {
		files["etc/systemd/system/"+u+".target"] = ""
	}
	for k, v := range more {
		files[k] = v
	}
	return tree(t, files)
}

// The exposure of each service is 1.5 at most, with every drop-in.
func TestExposure(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	total := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for _, tc := range []struct{ unit, file, dropin string }{
		{"truehop.service", "truehop.service", ""},
		{"truehop@work.service", "truehop@.service", ""},
		{"truehop.service", "truehop.service", "credentials.conf"},
		{"truehop.service", "truehop.service", "password-command.conf"},
	} {
		t.Run(tc.unit+" "+tc.dropin, func(t *testing.T) {
			more := map[string]string{}
			if tc.dropin != "" {
				more["etc/systemd/system/"+tc.file+".d/"+tc.dropin] = "dropins/" + tc.dropin
			}
			out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--root="+units(t, more), "--threshold=15", tc.unit).CombinedOutput()
			m := total.FindSubmatch(out)
			if err != nil || m == nil {
				t.Fatalf("exposure above 1.5, or not measured: %v\n%s", err, out)
			}
			t.Logf("exposure %s", m[1])
		})
	}
}

// Every directive is known and well-formed; a misspelt one would be ignored in silence.
func TestVerify(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	root := units(t, map[string]string{
		"etc/systemd/system/truehop.service.d/credentials.conf":       "dropins/credentials.conf",
		"etc/systemd/system/truehop@.service.d/password-command.conf": "dropins/password-command.conf",
	})
	for _, unit := range []string{"truehop.service", "truehop@work.service", "truehop@work.timer"} {
		out, err := exec.Command(analyze, "verify", "--man=no", "--root="+root, unit).CombinedOutput()
		if err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
	// The check can fail.
	spoilt := filepath.Join(root, "etc/systemd/system/truehop.service")
	data, err := os.ReadFile(spoilt)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte("ProtectSystem=strict"), []byte("ProtectSystm=strict"), 1)
	if err := os.WriteFile(spoilt, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.Command(analyze, "verify", "--man=no", "--root="+root, "truehop.service").CombinedOutput(); !bytes.Contains(out, []byte("ProtectSystm")) {
		t.Errorf("a misspelt directive was not noticed:\n%s", out)
	}
}

// systemctl reload reaches the program in both ways: by a signal of a command, and by one of a manager that knows notify-reload. An
// older manager would take that type for none, so that it is in a drop-in of its own.
func TestReload(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return "\n" + string(data)
	}
	unit, dropin := read("truehop.service"), read("dropins/notify-reload.conf")
	for _, line := range []string{"\nType=notify\n", "\nExecReload=+/bin/kill -HUP $MAINPID\n", "\nWatchdogSec=5min\n"} {
		if !strings.Contains(unit, line) {
			t.Errorf("truehop.service has no line %q", line)
		}
	}
	if !strings.Contains(dropin, "\nType=notify-reload\nExecReload=\n") {
		t.Errorf("the drop-in has\n%s", dropin)
	}
	analyze := tool(t, "systemd-analyze")
	out, err := exec.Command(analyze, "--version").Output()
	var version int
	if n, _ := fmt.Sscanf(string(out), "systemd %d", &version); err != nil || n != 1 {
		t.Fatalf("systemd-analyze --version: %v\n%s", err, out)
	}
	out, err = exec.Command(analyze, "verify", "--man=no", "--root="+units(t, map[string]string{
		"etc/systemd/system/truehop.service.d/notify-reload.conf": "dropins/notify-reload.conf"}), "truehop.service").CombinedOutput()
	if version >= 253 {
		if err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if !bytes.Contains(out, []byte("notify-reload")) {
		t.Errorf("systemd %d takes Type=notify-reload, and the unit could have it:\n%s", version, out)
	}
}

// Both services run in the same sandbox; they differ in what starts and ends them.
func TestSameSandbox(t *testing.T) {
	directives := func(file string) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, service, _ := strings.Cut(string(data), "\n[Service]\n")
		service, _, _ = strings.Cut(service, "\n[Install]\n")
		var lines []string
		for line := range strings.Lines(service) {
			key, _, ok := strings.Cut(line, "=")
			if ok && !strings.HasPrefix(line, "#") && !regexp.MustCompile(`^(Type|ExecStart|ExecReload|WatchdogSec|Restart|RestartSec|RestartPreventExitStatus|SuccessExitStatus|TimeoutStartSec)$`).MatchString(key) {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	serve, run := directives("truehop.service"), directives("truehop@.service")
	if serve != run || strings.Count(serve, "\n") < 35 {
		t.Errorf("truehop.service has\n%s\ntruehop@.service has\n%s", serve, run)
	}
}

// The user and the directories that the units need come from the two snippets.
func TestUserAndDirectories(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give directories to the user")
	}
	users, files := tool(t, "systemd-sysusers"), tool(t, "systemd-tmpfiles")
	root := tree(t, map[string]string{
		"usr/lib/sysusers.d/truehop.conf": "truehop.sysusers", "usr/lib/tmpfiles.d/truehop.conf": "truehop.tmpfiles",
	})
	for _, cmd := range []*exec.Cmd{exec.Command(users, "--root="+root, "truehop.conf"), exec.Command(files, "--create", "--root="+root, "truehop.conf")} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil || !regexp.MustCompile(`(?m)^truehop:x:\d+:\d+:[^:]*:/var/lib/truehop:\S*nologin$`).Match(passwd) {
		t.Errorf("passwd %v:\n%s", err, passwd)
	}
	group, err := os.ReadFile(filepath.Join(root, "etc/group"))
	if err != nil || !regexp.MustCompile(`(?m)^postdrop:.*:truehop$`).Match(group) {
		t.Errorf("group %v:\n%s", err, group)
	}
	for dir, mode := range map[string]os.FileMode{"etc/truehop": 0o755, "etc/truehop/conf.d": 0o755, "etc/truehop/cred": 0o700, "var/lib/truehop": 0o700} {
		info, err := os.Stat(filepath.Join(root, dir))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want mode %o", dir, info, err, mode)
		}
	}
}
