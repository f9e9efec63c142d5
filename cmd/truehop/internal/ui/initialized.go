package ui

import (
	"fmt"
	"io"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// PrintInitialized says what was written and what comes next.
func PrintInitialized(w io.Writer, path string, d config.Draft) {
	fmt.Fprintf(w, "wrote %s\n", path)
	if d.PasswordFile != "" {
		fmt.Fprintf(w, "  put the password on one line into %s, with mode 0600\n", quote(d.PasswordFile))
	}
	for _, p := range config.Providers() {
		if p.Provider == d.Provider && p.Needs != nil {
			say(w, fmt.Sprintf("  %s needs %s", p.Provider, *p.Needs))
		}
	}
	fmt.Fprintf(w, "  then: truehop check --config %s\n", quote(path))
}
