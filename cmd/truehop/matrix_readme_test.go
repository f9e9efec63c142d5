package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	serversBegin = "<!-- servers begin -->\n"
	serversEnd   = "<!-- servers end -->\n"
)

// TestReadmeServers: the servers that the README names are those of the matrix, each with what was tried.
func TestReadmeServers(t *testing.T) {
	text := readText(t, readmes[0])
	head, rest, begins := strings.Cut(text, serversBegin)
	is, tail, ends := strings.Cut(rest, serversEnd)
	if !begins || !ends {
		t.Fatal("the README has no place for the servers")
	}
	want := serverTable(matrixRows)
	if *update {
		if err := os.WriteFile(readmes[0], []byte(head+serversBegin+want+serversEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if is != want {
		t.Errorf("the servers in the README are old (go test -run ReadmeServers -update rewrites them); they should be\n%s", want)
	}
}

func serverTable(rows []matrixRow) string {
	var b strings.Builder
	b.WriteString("| server | version | tried by | what to know |\n|---|---|---|---|\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.name, row.version, row.protocols, row.quirk)
	}
	return b.String()
}
