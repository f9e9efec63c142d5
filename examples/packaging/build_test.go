// Package packaging holds the description of a release: binaries, a .deb and an .rpm. Its tests build them and use them.
package packaging

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// need returns the path of a program that a test runs, or ends the test: as a failure where the environment says that
// everything is installed.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+" is not installed")
	}
	return path
}

// missing ends a test for want of something that every machine of the CI has.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// release is what build made.
type release struct {
	// dir has the files, sources the clone that they were built in, commit is its.
	dir, sources, commit string
}

// file returns the one file of the release that fits a pattern.
func (r release) file(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(r.dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q, %v", pattern, found, err)
	}
	return found[0]
}

// scratch is removed at the end of all tests.
var scratch = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "truehop-packaging-") })

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := scratch(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// first and next are two releases of these sources, built once for all tests.
var (
	first = sync.OnceValues(func() (release, error) { return build("first", "1.0.0", "../..", "deb rpm", host) })
	next  = sync.OnceValues(func() (release, error) {
		r, err := first()
		if err != nil {
			return release{}, err
		}
		return build("next", "1.1.0", r.sources, "deb rpm", host)
	})
)

const host = "linux/" + runtime.GOARCH

// built waits for a release, or ends the test where none can be made.
func built(t *testing.T, r func() (release, error)) release {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the packages are for Linux")
	}
	need(t, "git")
	got, err := r()
	if errors.Is(err, errNoNFPM) {
		missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var errNoNFPM = errors.New("nfpm cannot be fetched")

// build runs the script in a clone: the sources as they are, committed, or those of an earlier release.
func build(name, version, from, formats string, targets ...string) (release, error) {
	dir, err := scratch()
	if err != nil {
		return release{}, err
	}
	r := release{dir: filepath.Join(dir, name), sources: filepath.Join(dir, name+"-sources")}
	run := func(command string) (string, error) {
		cmd := exec.Command("sh", "-c", "set -e; "+command)
		cmd.Env = append(os.Environ(), "VERSION="+version, "FORMATS="+formats, "FROM="+from, "TO="+r.sources, "OUT="+r.dir,
			"GOFLAGS=-buildvcs=false -tags=shows", // which must not show
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_DATE=2026-03-01T12:00:00Z", "GIT_COMMITTER_DATE=2026-03-01T12:00:00Z")
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", command, err, out)
		}
		return string(out), err
	}
	take := `git clone -q "$FROM" "$TO"`
	if from == "../.." {
		take = `mkdir "$TO"; cd "$FROM"; tar -cf - --exclude=./.git . | tar -xf - -C "$TO"; cd "$TO"; git init -q
git add -A; git -c user.name=tests -c user.email=tests@example.org commit -qm tests`
	}
	if _, err := run(take); err != nil {
		return r, err
	}
	// As the script runs it, for Go would else build it twice.
	if _, err := run(`cd "$TO"; CGO_ENABLED=0 GOFLAGS="-trimpath -tags=timetzdata" go run "$(sed -n 's/^nfpm=//p' examples/packaging/build)" --version`); err != nil {
		return r, fmt.Errorf("%w: %v", errNoNFPM, err)
	}
	commit, err := run(`git -C "$TO" rev-parse HEAD`)
	if err != nil {
		return r, err
	}
	r.commit = strings.TrimSpace(commit)
	_, err = run(`"$TO"/examples/packaging/build "$OUT" ` + strings.Join(targets, " "))
	return r, err
}

// TestBinary: it is static, it tells its commit, and the build's environment does not show in it.
func TestBinary(t *testing.T) {
	r := built(t, first)
	path := r.file(t, "truehop-linux-*")
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it is not static: it has a segment %v", p.Type)
		}
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	want := regexp.MustCompile(`^truehop version v\S+ \(commit ` + r.commit[:12] + `, 2026-03-01T12:00:00Z, go\S+ linux/` + runtime.GOARCH + `\)\n$`)
	if err != nil || !want.Match(out) {
		t.Errorf("--version: %v, %q does not fit %v", err, out, want)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range []string{r.sources, "tags=shows", os.Getenv("HOME") + "/go/pkg"} {
		if bytes.Contains(data, []byte(trace)) {
			t.Errorf("the binary holds %q", trace)
		}
	}
}

// everywhere has the script build for all that it builds for by default. It takes a quarter of an hour with an empty cache.
var everywhere = flag.Bool("everywhere", false, "build for every target of a release")

// TestForeign: a binary for another machine tells version, commit and date as that of this one, and its packages bear the names that the distributions
// have for that machine. One target stands for all, unless -everywhere is given: one of 32 bits, on which more can go wrong.
func TestForeign(t *testing.T) {
	one := built(t, first)
	targets := []string{"linux/arm"}
	if *everywhere {
		targets = nil
	}
	r := built(t, func() (release, error) { return build("foreign", "1.0.0", one.sources, "deb rpm", targets...) })
	names := map[string][2]string{"amd64": {"amd64", "x86_64"}, "arm64": {"arm64", "aarch64"}, "arm": {"armhf", "armv7hl"}, "riscv64": {"riscv64", "riscv64"}}
	binaries, err := filepath.Glob(filepath.Join(r.dir, "truehop-*-*"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, path := range binaries {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			continue // a package
		}
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		target := settings["GOOS"] + "/" + settings["GOARCH"]
		got = append(got, target)
		if name := "truehop-" + strings.Replace(target, "/", "-", 1); filepath.Base(path) != name {
			t.Errorf("%s is for %s", path, target)
		}
		if settings["vcs.revision"] != r.commit || settings["vcs.time"] != "2026-03-01T12:00:00Z" || settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" || info.Main.Version == "(devel)" {
			t.Errorf("%s: version %s, %v", target, info.Main.Version, settings)
		}
		if settings["GOOS"] == "linux" {
			name := names[settings["GOARCH"]]
			r.file(t, "truehop_1.0.0*_"+name[0]+".deb")
			r.file(t, "truehop-1.0.0*."+name[1]+".rpm")
		}
	}
	if targets == nil {
		targets = released(t)
	}
	slices.Sort(targets)
	if slices.Sort(got); !slices.Equal(got, targets) {
		t.Errorf("binaries for %q, want %q", got, targets)
	}
}

// TestReleaseIsForAll: these are the systems that the README promises binaries for.
func TestReleaseIsForAll(t *testing.T) {
	want := []string{"darwin/amd64", "darwin/arm64", "freebsd/amd64", "freebsd/arm64", "linux/amd64", "linux/arm", "linux/arm64", "linux/riscv64"}
	if got := slices.Sorted(slices.Values(released(t))); !slices.Equal(got, want) {
		t.Errorf("the script builds for %q by default, want %q", got, want)
	}
}

// released are the targets that the script builds for by default.
func released(t *testing.T) []string {
	t.Helper()
	script, err := os.ReadFile("build")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\tset -- (.+)$`).FindSubmatch(script)
	if m == nil {
		t.Fatal("the script names no targets")
	}
	return strings.Fields(string(m[1]))
}

// TestReproducible: the same commit, cloned to another place, makes the same octets.
func TestReproducible(t *testing.T) {
	one := built(t, first)
	two := built(t, func() (release, error) { return build("again", "1.0.0", one.sources, "deb rpm", host) })
	if one.commit != two.commit || one.sources == two.sources {
		t.Fatalf("commits %s and %s in %s and %s", one.commit, two.commit, one.sources, two.sources)
	}
	for _, pattern := range []string{"truehop-linux-*", "*.deb", "*.rpm", "SHA256SUMS"} {
		a, errA := os.ReadFile(one.file(t, pattern))
		b, errB := os.ReadFile(two.file(t, pattern))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if len(a) == 0 || !bytes.Equal(a, b) {
			t.Errorf("%s differs", pattern)
		}
	}
}

// TestBuildWantsARepository: a binary that could not tell its version is not released.
func TestBuildWantsARepository(t *testing.T) {
	r := built(t, first)
	bare := t.TempDir()
	if out, err := exec.Command("sh", "-c", `cp -R "$0"/. "$1" && rm -rf "$1/.git"`, r.sources, bare).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(filepath.Join(bare, "examples/packaging/build"), t.TempDir()).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("Go finds no repository here")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestLintian: Debian's own check has nothing to say but what is overridden with a reason, and each override is needed.
func TestLintian(t *testing.T) {
	lintian := need(t, "lintian")
	r := built(t, first)
	out, err := exec.Command(lintian, "--allow-root", "--fail-on", "none", "--show-overrides", r.file(t, "*.deb")).CombinedOutput()
	if err != nil || regexp.MustCompile(`(?m)^[EW]: `).Match(out) {
		t.Errorf("%v\n%s", err, out)
	}
	overrides, readErr := os.ReadFile("debian/lintian-overrides")
	if readErr != nil {
		t.Fatal(readErr)
	}
	for line := range strings.Lines(string(overrides)) {
		tag, isTag := strings.CutPrefix(strings.TrimSpace(line), "truehop: ")
		if isTag && !bytes.Contains(out, []byte("O: truehop: "+tag)) {
			t.Errorf("nothing is overridden by %q:\n%s", tag, out)
		}
	}
	if bytes.Contains(out, []byte("unused-override")) {
		t.Errorf("%s", out)
	}
}

// TestReadmeShowsTheBuild: the README's command is the script that these tests run, and its file names are those of the packages.
func TestReadmeShowsTheBuild(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"$ examples/packaging/build dist\n", "$ dpkg -i truehop_VERSION_amd64.deb\n", "$ rpm -i truehop-VERSION.x86_64.rpm\n"} {
		if !bytes.Contains(readme, []byte(line)) {
			t.Errorf("the README does not show %q", line)
		}
	}
	if runtime.GOARCH == "amd64" {
		r := built(t, first)
		r.file(t, "truehop_1.0.0*_amd64.deb")
		r.file(t, "truehop-1.0.0*.x86_64.rpm")
	}
}
