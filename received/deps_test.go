package received

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestImporters: a program that imports this package alone gets none of what the mail
// fetcher needs, neither to build nor to check.
func TestImporters(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module importer.example\n\ngo 1.25\n\nrequire github.com/truehop/truehop v0.0.0\n\nreplace github.com/truehop/truehop => "+root+"\n")
	write("main.go", "package main\n\nimport _ \"github.com/truehop/truehop/received\"\n\nfunc main() {}\n")
	run := func(args ...string) string {
		cmd := exec.Command(goTool, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "GOSUMDB=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	deps := run("list", "-deps", ".")
	if !strings.Contains(deps, "golang.org/x/net/publicsuffix") {
		t.Errorf("the list of dependencies is not one:\n%s", deps)
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for _, heavy := range []string{"modernc.org/sqlite", "spf13/cobra", "knadh/koanf"} {
		if strings.Contains(deps, heavy) {
			t.Errorf("an importer builds %s", heavy)
		}
		if strings.Contains(string(sum), heavy) {
			t.Errorf("an importer's go.sum names %s", heavy)
		}
	}
}
