package ui

import (
	"fmt"
	"io"
	"strings"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// PrintProvider writes what a provider publishes, in a few lines.
func PrintProvider(w io.Writer, p config.Published) {
	fmt.Fprintln(w, p.Provider)
	for _, line := range []struct {
		name string
		text *string
	}{{"imap", p.IMAP}, {"pop3", p.POP3}, {"needs", p.Needs}, {"see", p.Page}} {
		if line.text != nil {
			text := fmt.Sprintf("  %-5s  %s", line.name, *line.text)
			if line.text != p.Page { // which is to be opened, and stays whole
				text = strings.Join(folded(text, columnsOf(w), 9), "\n")
			}
			fmt.Fprintln(w, text)
		}
	}
}

// PrintProviderJSON writes what a provider publishes as one object on a line.
func PrintProviderJSON(w io.Writer, p config.Published) error { return printJSON(w, p) }
