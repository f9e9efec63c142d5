package config

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
)

// source is the file whose comments are the manual.
//
//go:embed config.go
var source string

// Key is one key of the reference.
type Key struct {
	// Path is the key as a person writes it; NAME stands for an account's name.
	Path string
	// Type is text, number, duration, size, network, secret, true or false, or list of one of them.
	Type string
	// Default is the default in the syntax of the file, "" if there is none or Doc says it.
	Default string
	// Values are the values allowed, separated by |, "" if they are not listed.
	Values string
	// Doc is one paragraph.
	Doc string
}

// Reference returns every key in the order of [Config], with what its field comment says.
func Reference() []Key {
	// The field comments of config.go by Type.Field, each as one line.
	docs := map[string]string{}
	tree, _ := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments) // the compiler has read it
	ast.Inspect(tree, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		body, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, f := range body.Fields.List {
			for _, name := range f.Names {
				docs[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
		return false
	})
	return keys("", reflect.TypeFor[Config](), docs)
}

func keys(path string, t reflect.Type, docs map[string]string) []Key {
	var out []Key
	for f := range t.Fields() {
		name, opts, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		at := strings.TrimPrefix(path+"."+name, ".")
		k := Key{Path: at, Type: want(field{typ: f.Type}), Default: f.Tag.Get("default"), Values: strings.Join(words(field{tag: f.Tag}, f.Type), "|"), Doc: docs[t.Name()+"."+f.Name]}
		if f.Type.Kind() == reflect.Slice {
			k.Type = "list of " + strings.TrimSuffix(k.Type, "s") + "s"
		}
		switch {
		case opts == "squash":
			out = append(out, keys(path, f.Type, docs)...)
		case name == "" || name == "-":
		case name == "defaults":
			out = append(out, Key{Path: at, Type: "keys of an account", Doc: k.Doc})
		case f.Type == targetsType():
			out = append(out, Key{Path: at, Type: "keys of a target, or targets by name", Doc: k.Doc})
			out = append(out, keys(at, f.Type.Elem().Elem(), docs)...)
		case f.Type.Kind() == reflect.Map:
			out = append(out, Key{Path: at, Type: "accounts by name", Doc: k.Doc})
			out = append(out, keys(at+".NAME", f.Type.Elem().Elem(), docs)...)
		case f.Type.Kind() == reflect.Struct && !readsText(f.Type):
			out = append(out, keys(at, f.Type, docs)...)
		default:
			out = append(out, k)
		}
	}
	return out
}
