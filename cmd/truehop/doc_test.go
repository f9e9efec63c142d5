package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"testing"
)

// TestDocNames: what doc.go names is there: packages with their functions, types and methods or fields,
// files of this package, and paths in the tree.
func TestDocNames(t *testing.T) {
	declared := map[string]bool{}
	eachSource(t, func(pkg, file string, f *ast.File) {
		if pkg == "cmd/truehop" {
			pkg = "program.go" // no name is taken for one of package main
		}
		for _, d := range f.Decls {
			for _, name := range declares(d) {
				declared[path.Base(pkg)+"."+name] = true
			}
		}
	})
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	text, names := file.Doc.Text(), 0
	for _, name := range regexp.MustCompile(`\b[a-z][a-z0-9]+(\.[A-Z]\w+)+`).FindAllString(text, -1) {
		names++
		if !declared[name] {
			t.Errorf("%s is not declared anywhere", name)
		}
	}
	for _, name := range regexp.MustCompile(`\b[a-z_]+(/[a-z_]+)*\.(go|md|yaml|txt)\b`).FindAllString(text, -1) {
		names++
		if !exists(name) && !exists(path.Join(root, name)) && !exists(path.Join("internal/config", name)) {
			t.Errorf("there is no file %s", name)
		}
	}
	if names < 40 {
		t.Errorf("only %d names found: is the search right?", names)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// declares returns the names of a declaration: "Func", "Type", "Type.Method", "Type.Field".
func declares(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return []string{d.Name.Name}
		}
		receiver := d.Recv.List[0].Type
		if star, ok := receiver.(*ast.StarExpr); ok {
			receiver = star.X
		}
		if id, ok := receiver.(*ast.Ident); ok {
			return []string{id.Name + "." + d.Name.Name}
		}
	case *ast.GenDecl:
		var names []string
		for _, s := range d.Specs {
			if spec, ok := s.(*ast.TypeSpec); ok {
				names = append(names, spec.Name.Name)
				for _, member := range members(spec.Type) {
					names = append(names, spec.Name.Name+"."+member)
				}
			}
		}
		return names
	}
	return nil
}

// members returns the names of a structure's fields or an interface's methods.
func members(typ ast.Expr) []string {
	var fields *ast.FieldList
	switch typ := typ.(type) {
	case *ast.StructType:
		fields = typ.Fields
	case *ast.InterfaceType:
		fields = typ.Methods
	default:
		return nil
	}
	var names []string
	for _, f := range fields.List {
		for _, id := range f.Names {
			names = append(names, id.Name)
		}
	}
	return names
}
