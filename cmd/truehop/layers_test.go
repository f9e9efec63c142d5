package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/truehop/truehop/"
	root   = "../.."
)

// mayImport says which of our packages a package may import, apart from its tests. A package
// that is not listed may import none and must not exist.
var mayImport = map[string][]string{
	"received":                       nil,
	"fetch":                          nil,
	"fetch/sasl":                     {"fetch"},
	"fetch/pop3":                     {"fetch", "fetch/sasl"},
	"fetch/imap":                     {"fetch", "fetch/sasl"},
	"fetch/oauth":                    {"fetch"},
	"fetch/fakeserver":               nil,
	"fetch/fetchtest":                {"fetch", "fetch/fakeserver"},
	"inject":                         nil,
	"inject/rdns":                    {"inject"},
	"inject/injecttest":              {"inject"},
	"schedule":                       nil,
	"schedule/ledger":                nil,
	"schedule/ledger/ledgertest":     {"schedule/ledger"},
	"schedule/transfer":              {"fetch", "received", "inject", "schedule/ledger"},
	"schedule/postgres":              {"schedule/ledger"},
	"schedule/postgres/postgrestest": nil,
	"cmd/truehop/internal/config":    {"fetch", "fetch/oauth", "fetch/sasl", "inject", "received", "schedule", "schedule/transfer", "cmd/truehop/internal/sealed"}, // the types of their options
	"cmd/truehop/internal/sealed":    nil,
	"cmd/truehop/internal/app": {"fetch", "fetch/oauth", "fetch/sasl", "fetch/pop3", "fetch/imap", "received", "inject", "inject/rdns", "schedule", "schedule/ledger", "schedule/transfer",
		"schedule/postgres", "cmd/truehop/internal/config"}, // everything but ui
	"cmd/truehop/internal/ui":       {"fetch", "fetch/oauth", "received", "inject", "schedule", "schedule/ledger", "schedule/transfer", "cmd/truehop/internal/config"}, // everything but app
	"cmd/truehop/internal/metrics":  {"inject", "schedule/ledger", "schedule/transfer"},                                                                                // what it counts
	"cmd/truehop/internal/importer": {"fetch", "fetch/imap"},                                                                                                           // how folders are named
	"cmd/truehop/internal/demo":     {"fetch/fakeserver", "inject/injecttest"},
	"cmd/truehop":                   {"*"},
	"examples":                      nil,
	"systemd":                       nil,
	"cmd/truehop/internal/manual":   nil,
	".ci/elsewhere":                 nil,
	"examples/container":            nil,
	"examples/packaging":            nil,
	"examples/fleet":                nil,
	"examples/filters":              nil,
	"examples/mailtest":             {"fetch/fakeserver", "inject/injecttest"},
}

// homes says where a dependency may be imported, tests included.
var homes = map[string][]string{
	"github.com/emersion/go-imap":    {"fetch/imap", "fetch/fetchtest"},
	"github.com/emersion/go-message": {"schedule/transfer", "cmd/truehop/internal/app"},
	"github.com/emersion/go-msgauth": {"cmd/truehop", "examples/mailtest", "examples/filters"}, // tests
	"github.com/emersion/go-sasl":    {"fetch/sasl", "fetch/imap", "fetch/pop3", "inject", "cmd/truehop/internal/app"},
	"github.com/vbauerster/mpb":      {"cmd/truehop/internal/ui"},
	"github.com/mattn/go-runewidth":  {"cmd/truehop/internal/ui"},
	"github.com/xdg-go/scram":        {"fetch/sasl", "fetch/fetchtest", "fetch/imap"},
	"github.com/knadh/koanf":         {"cmd/truehop/internal/config"},
	"go.yaml.in/yaml":                {"cmd/truehop/internal/config", "cmd/truehop/internal/metrics", "examples", "examples/container", "examples/fleet"}, // alert rules and manifests, in tests
	"github.com/robfig/cron":         {"schedule"},
	"modernc.org/sqlite":             {"schedule/ledger"},
	"github.com/jackc/pgx":           {"schedule/postgres", "schedule/postgres/postgrestest"},
	"github.com/spf13/cobra":         {"cmd/truehop"},
	"github.com/coreos/go-systemd":   {"cmd/truehop", "cmd/truehop/internal/ui"},
	"golang.org/x/net/publicsuffix":  {"received"},
	"golang.org/x/net/idna":          {"inject"},
	"golang.org/x/oauth2":            {"fetch/oauth"},
	"github.com/prometheus":          {"cmd/truehop/internal/metrics"},
	"filippo.io/age":                 {"cmd/truehop/internal/sealed"},
}

// TestImports holds the sources against the house's plan: the tree is the pipeline, and
// each dependency has one home.
func TestImports(t *testing.T) {
	eachSource(t, func(pkg, path string, f *ast.File) {
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("%s: package %s is not in the plan of the house", path, pkg)
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			own, ours := strings.CutPrefix(name, module)
			if ours && !strings.HasSuffix(path, "_test.go") && !slices.Contains(allowed, own) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s, but %s may import only %v of ours", path, own, pkg, allowed)
			}
			for dependency, home := range homes {
				if strings.HasPrefix(name, dependency) && !slices.Contains(home, pkg) {
					t.Errorf("%s imports %s, whose home is %v", path, name, home)
				}
			}
		}
	})
}

// TestProtocolsNeverDial: packages that speak a protocol take a connection; whom to call is
// decided in one place.
func TestProtocolsNeverDial(t *testing.T) {
	eachSource(t, func(pkg, path string, f *ast.File) {
		if !slices.Contains([]string{"fetch/pop3", "fetch/imap", "inject"}, pkg) || strings.HasSuffix(path, "_test.go") {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Dial") && sel.Sel.Name != "Dialer" {
				if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "net" || x.Name == "tls") {
					t.Errorf("%s dials: %s.%s", path, x.Name, sel.Sel.Name)
				}
			}
			return true
		})
	})
}

// TestNoHiddenState: no init function, no os.Exit outside main.
func TestNoHiddenState(t *testing.T) {
	eachSource(t, func(pkg, path string, f *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s has an init function", path)
				}
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != "Exit" || filepath.Base(path) == "main.go" {
					break
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" {
					t.Errorf("%s ends the process", path)
				}
			}
			return true
		})
	})
}

// eachSource calls f for every Go file of the module, with its package's folder.
func eachSource(t *testing.T, f func(pkg, path string, file *ast.File)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		seen++
		f(filepath.ToSlash(rel), path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("only %d source files found: is the walk right?", seen)
	}
}

// TestProgramLinksNoTesting: what the demo embeds must not bring package testing, and its flags,
// into the program.
func TestProgramLinksNoTesting(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	linked := strings.Fields(string(out))
	if !slices.Contains(linked, module+"fetch/fakeserver") {
		t.Errorf("the list of linked packages lacks the demo's servers: is it the program's?")
	}
	for _, name := range linked {
		if name == "testing" || strings.HasPrefix(name, "testing/") {
			t.Errorf("the program links package %s", name)
		}
	}
}
