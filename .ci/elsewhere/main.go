// Elsewhere finds out whether the sources, tests among them, build for systems that nobody has at hand:
//
//	go run ./.ci/elsewhere GOOS/GOARCH...
//
// It checks the types of all packages, and of what they import, from the sources. That takes seconds; go vet and go build compile each
// dependency for each system before, which takes a minute.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// listed is a package, as go list tells it.
type listed struct {
	ImportPath, Dir, Name string
	GoFiles               []string
	// ImportMap has what an import path stands for, where that is another package.
	ImportMap map[string]string
	// DepOnly says that it is not one of ours.
	DepOnly bool
	Module  *struct{ GoVersion string }
}

func main() {
	failed := false
	for _, target := range os.Args[1:] {
		checked, err := check(target)
		fmt.Printf("%s: %d packages\n", target, checked)
		if err != nil {
			fmt.Println(err)
			failed = true
		}
	}
	if failed || len(os.Args) == 1 {
		os.Exit(1)
	}
}

// check checks ours for a target and returns how many they are.
func check(target string) (checked int, err error) {
	system, machine, _ := strings.Cut(target, "/")
	packages, err := list(system, machine)
	if err != nil {
		return 0, err
	}
	files := token.NewFileSet()
	known := map[string]*types.Package{"unsafe": types.Unsafe}
	var faults []error
	for _, p := range packages { // each comes after what it imports
		byGoTest := p.Name == "main" && strings.HasSuffix(p.ImportPath, ".test")
		if byGoTest || p.ImportPath == "unsafe" {
			continue
		}
		syntax, err := parse(files, p)
		if err != nil {
			return checked, err
		}
		config := types.Config{
			Importer:         importer{known, p.ImportMap},
			Sizes:            types.SizesFor("gc", machine),
			IgnoreFuncBodies: p.DepOnly,
			FakeImportC:      true,
			Error:            func(err error) { faults = append(faults, err) },
		}
		if p.Module != nil && p.Module.GoVersion != "" {
			config.GoVersion = "go" + p.Module.GoVersion
		}
		// The path without the test that it was built for.
		path, _, _ := strings.Cut(p.ImportPath, " ")
		known[p.ImportPath], _ = config.Check(path, files, syntax, nil) // what is wrong has been told to Error
		if !p.DepOnly {
			checked++
		}
	}
	if checked == 0 {
		faults = append(faults, errors.New("there are no packages"))
	}
	return checked, errors.Join(faults...)
}

// list returns our packages, their tests and all that they import, each after its own imports.
func list(system, machine string) (packages []listed, err error) {
	cmd := exec.Command("go", "list", "-deps", "-test", "-json=ImportPath,Dir,Name,GoFiles,ImportMap,DepOnly,Module", "./...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+machine)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	decoder := json.NewDecoder(bufio.NewReader(bytes.NewReader(out)))
	for {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
}

func parse(files *token.FileSet, p listed) (syntax []*ast.File, err error) {
	for _, name := range p.GoFiles {
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.Dir, name)
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		syntax = append(syntax, file)
	}
	return syntax, nil
}

// importer has the packages that were checked before.
type importer struct {
	known map[string]*types.Package
	stand map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if other, ok := i.stand[path]; ok {
		path = other
	}
	if p := i.known[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s has not been listed", path)
}
