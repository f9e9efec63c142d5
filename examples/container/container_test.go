//go:build linux

// Package container holds an image and ways to run it. No engine is wanted for its tests: they lay out the root file system
// that the Containerfile describes and run the program in it as an engine would.
package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/truehop/truehop/examples/mailtest"
)

// image is what a Containerfile says.
type image struct {
	root, user      string
	env             map[string]string
	entrypoint, cmd []string
	health, volumes []string
	stopSignal      string
}

// build does what the instructions of the Containerfile say, with the files of dir.
func build(t *testing.T, dir string) image {
	t.Helper()
	text, err := os.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	i := image{root: t.TempDir(), env: map[string]string{}}
	if err := os.Chmod(i.root, 0o755); err != nil {
		t.Fatal(err)
	}
	args := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(os.Expand(line, func(name string) string { return args[name] }))
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		rest := strings.TrimSpace(strings.TrimPrefix(line, words[0]))
		switch words[0] {
		case "FROM":
			if rest != "scratch" {
				t.Fatalf("the image has a base: %s", rest)
			}
		case "ARG": // what an engine sets
			if words[1] != "TARGETARCH=amd64" {
				t.Fatalf("%s is set by nobody", rest)
			}
			args["TARGETARCH"] = runtime.GOARCH
		case "COPY":
			i.copies(t, dir, words[1:])
		case "ENV":
			name, value, _ := strings.Cut(rest, "=")
			i.env[name] = value
		case "USER":
			i.user = rest
		case "VOLUME":
			i.volumes = list(t, rest)
		case "STOPSIGNAL":
			i.stopSignal = rest
		case "HEALTHCHECK":
			i.health = list(t, rest[strings.Index(rest, "["):])
		case "ENTRYPOINT":
			i.entrypoint = list(t, rest)
		case "CMD":
			i.cmd = list(t, rest)
		default:
			t.Fatalf("the test does not know what an engine does at %s", line)
		}
	}
	return i
}

// list reads the form of an instruction that needs no shell.
func list(t *testing.T, text string) []string {
	t.Helper()
	var words []string
	if err := yaml.Unmarshal([]byte(text), &words); err != nil || len(words) == 0 {
		t.Fatalf("%s is no list: %v", text, err)
	}
	return words
}

// copies does what COPY does.
func (i image) copies(t *testing.T, dir string, words []string) {
	t.Helper()
	owner := "0:0"
	if o, ok := strings.CutPrefix(words[0], "--chown="); ok {
		owner, words = o, words[1:]
	}
	from, to := words[:len(words)-1], words[len(words)-1]
	for _, name := range from {
		dst := filepath.Join(i.root, to)
		if strings.HasSuffix(to, "/") {
			dst = filepath.Join(dst, name)
		}
		out, err := exec.Command("sh", "-c", `set -e; umask 022; mkdir -p "$(dirname "$1")"; cp -R "$0" "$1"; chown -R "$2" "$1"`, filepath.Join(dir, name), dst, owner).CombinedOutput()
		if err != nil {
			t.Fatalf("COPY %q: %v\n%s", words, err, out)
		}
	}
}

// engine is what a container is started with, beside its image.
type engine struct {
	env    map[string]string
	groups []string
	// state, secrets and socket are directories of this system that are mounted; socket may be "".
	state, secrets, socket string
	// probe is what is asked of the service by HTTP, at the socket metrics below state; "" for nothing.
	probe string
}

// mounts lays out what an engine mounts, makes the root read-only, and becomes the user. Secrets are on a file system
// in memory, of root and readable by all, as Docker has them.
const mounts = `set -e
root=$0 user=$1 groups=$2 state=$3 secrets=$4 socket=$5
shift 5
mount --make-rprivate /
mkdir -p "$root/proc" "$root/run/secrets" "$root/run/postfix" "$root/state"
mount --bind "$root" "$root"
mount -t proc none "$root/proc"
mount --bind "$state" "$root/state"
mount -t tmpfs none "$root/run/secrets"
install -m 0444 "$secrets"/* "$root/run/secrets"
if [ -n "$socket" ]; then
  mount --bind "$socket" "$root/run/postfix"
  mount -o remount,bind,ro "$root/run/postfix"
fi
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups="$groups" "$root" "$@"
`

// command readies a program of the image as the first process of a container.
func (e engine) command(t *testing.T, i image, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", mounts, i.root, i.user, strings.Join(e.groups, ","), e.state, e.secrets, e.socket}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, env := range []map[string]string{i.env, e.env} {
		for name, value := range env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC}
	return cmd
}

// run runs a program of the image to its end.
func (e engine) run(t *testing.T, i image, args ...string) (string, error) {
	t.Helper()
	out, err := e.command(t, i, args...).CombinedOutput()
	return string(out), err
}

// scratch is removed at the end of all tests.
var scratch = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "truehop-container-") })

// imageContext is the folder that the image is made from, made once for all tests.
var imageContext = sync.OnceValues(func() (string, error) {
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	// As examples/packaging/build does, but for the version.
	compile := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags=timetzdata", "-ldflags=-s -w",
		"-o", filepath.Join(dir, "truehop-linux-"+runtime.GOARCH), "../../cmd/truehop")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	for _, cmd := range []*exec.Cmd{compile, exec.Command("./context", dir)} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := scratch(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// testImage builds the program and the image, or ends the test where a container cannot be imitated.
func testImage(t *testing.T) image {
	t.Helper()
	required := os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1"
	for _, name := range []string{"sh", "chroot", "setpriv", "install", "mount"} {
		if _, err := exec.LookPath(name); err != nil && required {
			t.Fatal(err)
		} else if err != nil {
			t.Skip(err)
		}
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if err := probe.Run(); err != nil && required {
		t.Fatalf("needs the right to have namespaces: %v", err)
	} else if err != nil {
		t.Skipf("needs the right to have namespaces: %v", err)
	}
	dir, err := imageContext()
	if err != nil {
		t.Fatal(err)
	}
	return build(t, dir)
}

// TestImageHoldsTheProgramAlone: no shell, no other program; the state belongs to the user, who is not root; and the
// authorities are there that vouch for mailboxes.
func TestImageHoldsTheProgramAlone(t *testing.T) {
	i := testImage(t)
	var files []string
	err := filepath.WalkDir(i.root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, i.root))
		}
		return err
	})
	want := []string{"/etc/group", "/etc/passwd", "/etc/ssl/certs/ca-certificates.crt", "/usr/bin/truehop"}
	if err != nil || !slices.Equal(files, want) {
		t.Errorf("the image holds %q, %v; want %q", files, err, want)
	}
	uid, gid, _ := strings.Cut(i.user, ":")
	passwd, err := os.ReadFile(i.root + "/etc/passwd")
	if err != nil || !bytes.Contains(passwd, []byte(":"+uid+":"+gid+":")) || uid == "0" || uid == "" {
		t.Errorf("user %q; passwd %q, %v", i.user, passwd, err)
	}
	var state syscall.Stat_t
	if err := syscall.Stat(i.root+i.volumes[0], &state); err != nil || strconv.Itoa(int(state.Uid)) != uid || state.Mode&0o777 != 0o700 {
		t.Errorf("%s belongs to %d, mode %o, %v", i.volumes[0], state.Uid, state.Mode, err)
	}
	if i.env["TRUEHOP_STATE_DIR"] != i.volumes[0] || i.stopSignal != "SIGTERM" {
		t.Errorf("state in %q, volume %q, ended by %q", i.env["TRUEHOP_STATE_DIR"], i.volumes, i.stopSignal)
	}
	roots, err := os.ReadFile(i.root + "/etc/ssl/certs/ca-certificates.crt")
	if err != nil || bytes.Count(roots, []byte("BEGIN CERTIFICATE")) < 50 {
		t.Errorf("%d authorities, %v", bytes.Count(roots, []byte("BEGIN CERTIFICATE")), err)
	}
}

// compose is what matters here of compose.yaml.
type compose struct {
	Services map[string]struct {
		ReadOnly    bool              `yaml:"read_only"`
		GroupAdd    []string          `yaml:"group_add"`
		Environment map[string]string `yaml:"environment"`
		Volumes     []string          `yaml:"volumes"`
		Secrets     []string          `yaml:"secrets"`
	} `yaml:"services"`
}

// deployment is what matters here of kubernetes.yaml.
type deployment struct {
	Kind string `yaml:"kind"`
	Spec struct {
		Replicas int `yaml:"replicas"`
		Strategy struct {
			Type string `yaml:"type"`
		} `yaml:"strategy"`
		Template struct {
			Spec struct {
				SecurityContext struct {
					RunAsUser           int    `yaml:"runAsUser"`
					RunAsGroup          int    `yaml:"runAsGroup"`
					FSGroup             int    `yaml:"fsGroup"`
					FSGroupChangePolicy string `yaml:"fsGroupChangePolicy"`
				} `yaml:"securityContext"`
				Containers []struct {
					Env []struct {
						Name  string `yaml:"name"`
						Value string `yaml:"value"`
					} `yaml:"env"`
					LivenessProbe struct {
						HTTPGet struct {
							Path string `yaml:"path"`
							Port string `yaml:"port"`
						} `yaml:"httpGet"`
					} `yaml:"livenessProbe"`
					ReadinessProbe struct {
						Exec struct {
							Command []string `yaml:"command"`
						} `yaml:"exec"`
					} `yaml:"readinessProbe"`
					SecurityContext struct {
						ReadOnlyRootFilesystem bool `yaml:"readOnlyRootFilesystem"`
					} `yaml:"securityContext"`
					VolumeMounts []struct {
						Name      string `yaml:"name"`
						MountPath string `yaml:"mountPath"`
					} `yaml:"volumeMounts"`
				} `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

// documents decodes each document of a file.
func documents[T any](t *testing.T, path string) []T {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		var v T
		if err := yaml.Unmarshal([]byte(part), &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, v)
	}
	return all
}

// TestCompose: the service of compose.yaml fetches by its environment alone, through the socket of a Postfix on the host.
func TestCompose(t *testing.T) {
	i := testImage(t)
	service := documents[compose](t, "compose.yaml")[0].Services["truehop"]
	if !service.ReadOnly || !slices.Equal(service.Secrets, []string{"work"}) || !slices.Equal(service.GroupAdd, []string{"${POSTDROP_GID}"}) ||
		!slices.Equal(service.Volumes, []string{"state:/state", "/var/spool/postfix/public:/run/postfix:ro"}) {
		t.Errorf("the test runs another service than %+v", service)
	}
	// As Postfix has it: the directory is closed to all but a group, the socket is open.
	const postdrop = 20002
	socket := t.TempDir()
	w := mailtest.Start(t, "unix", filepath.Join(socket, "truehop"))
	if err := errors.Join(os.Chown(socket, 0, postdrop), os.Chmod(socket, 0o710), os.Chmod(filepath.Join(socket, "truehop"), 0o666)); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, i, w, service.Environment)
	e.socket = socket
	if out, err := e.run(t, i, "/usr/bin/truehop", "check"); err == nil || !strings.Contains(out, "permission denied") {
		t.Errorf("without the group the socket is reached: %v\n%s", err, out)
	}
	e.groups = []string{strconv.Itoa(postdrop)}
	e.live(t, i, w, i.health)
}

// TestKubernetes: the pod of kubernetes.yaml fetches by its environment alone, through a Postfix in the cluster.
func TestKubernetes(t *testing.T) {
	i := testImage(t)
	all := documents[deployment](t, "kubernetes.yaml")
	d := all[slices.IndexFunc(all, func(d deployment) bool { return d.Kind == "Deployment" })]
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	mounted := map[string]string{}
	for _, m := range c.VolumeMounts {
		mounted[m.Name] = m.MountPath
	}
	if d.Spec.Replicas != 1 || d.Spec.Strategy.Type != "Recreate" || !c.SecurityContext.ReadOnlyRootFilesystem ||
		i.user != fmt.Sprintf("%d:%d", pod.SecurityContext.RunAsUser, pod.SecurityContext.RunAsGroup) ||
		pod.SecurityContext.FSGroupChangePolicy != "OnRootMismatch" ||
		!maps.Equal(mounted, map[string]string{"state": "/state", "secrets": "/run/secrets"}) {
		t.Errorf("the test runs another pod than %+v", d)
	}
	env := map[string]string{}
	for _, v := range c.Env {
		env[v.Name] = v.Value
	}
	w := mailtest.Start(t, "tcp", "127.0.0.1:0")
	env["TRUEHOP_INJECT__ADDRESS"] = w.MTA() // which a cluster's resolver would say
	live := c.LivenessProbe.HTTPGet
	if env["TRUEHOP_METRICS"] != "0.0.0.0:"+live.Port || env["TRUEHOP_METRICS_PUBLIC"] != "true" {
		t.Errorf("the probe asks at port %s, the program answers at %s", live.Port, env["TRUEHOP_METRICS"])
	}
	// The pods of a test share this system's ports.
	env["TRUEHOP_METRICS"] = "unix:/state/metrics"
	delete(env, "TRUEHOP_METRICS_PUBLIC")
	e := newEngine(t, i, w, env)
	// The kubelet gives a volume to root and fsGroup, and lets that group write.
	if err := errors.Join(os.Chown(e.state, 0, pod.SecurityContext.FSGroup), os.Chmod(e.state, 0o775|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	e.probe = live.Path
	e.live(t, i, w, c.ReadinessProbe.Exec.Command)
}

// newEngine starts containers with the environment of an example, whose mailbox it replaces by this one.
func newEngine(t *testing.T, i image, w *mailtest.Mail, example map[string]string) engine {
	t.Helper()
	const account = "TRUEHOP_ACCOUNTS__WORK__"
	e := engine{env: maps.Clone(example), state: t.TempDir(), secrets: t.TempDir()}
	for _, name := range []string{"HOST", "USER", "PASSWORD_CREDENTIAL", "PROVIDER", "RECIPIENTS"} {
		if e.env[account+name] == "" {
			t.Errorf("the example lacks %s%s", account, name)
		}
	}
	delete(e.env, account+"PROVIDER")
	for name, value := range map[string]string{"HOST": w.Host, "PORT": w.Port, "TLS": "none", "ALLOW_PLAINTEXT": "true", "USER": mailtest.User, "MX": mailtest.MX, "ON_DELIVERED": "keep"} {
		e.env[account+name] = value
	}
	uid, gid, _ := strings.Cut(i.user, ":")
	u, errU := strconv.Atoi(uid)
	g, errG := strconv.Atoi(gid)
	if err := errors.Join(errU, errG, os.Chmod(e.state, 0o700), os.Chown(e.state, u, g),
		os.WriteFile(filepath.Join(e.secrets, e.env[account+"PASSWORD_CREDENTIAL"]), []byte(mailtest.Password+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return e
}

// healthy asks the service as the kubelet does.
func (e engine) healthy(t *testing.T) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(e.state, "metrics"))
	}}}
	reply, err := client.Get("http://pod" + e.probe)
	if err != nil {
		t.Errorf("%s: %v", e.probe, err)
		return
	}
	if err := reply.Body.Close(); err != nil || reply.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", e.probe, reply.Status, err)
	}
}

// TestContextFitsReadme: the README shows the commands that make the image.
func TestContextFitsReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	containerfile, err := os.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^#   (.+)$`).FindAllStringSubmatch(string(containerfile), -1)
	if len(commands) != 3 {
		t.Fatalf("the Containerfile shows %q", commands)
	}
	for _, c := range commands {
		if !strings.Contains(string(readme), "$ "+c[1]+"\n") {
			t.Errorf("the README does not show %q", c[1])
		}
	}
}
