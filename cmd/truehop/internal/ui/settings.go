package ui

import (
	"fmt"
	"io"
	"strings"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
)

// maxKey is how wide the column of keys is at most where the writer's width matters.
const maxKey = 32

// PrintSettings writes the configuration as a table; where the writer's width matters, a line for each key, with its origin in brackets.
func PrintSettings(w io.Writer, settings []config.Setting) {
	if columns := columnsOf(w); columns > 0 {
		width := 0
		for _, s := range settings {
			width = max(width, min(maxKey, len(s.Key)))
		}
		for _, s := range settings {
			line := fmt.Sprintf("%-*s  %s", width, fetch.Printable(s.Key), fetch.Printable(s.Value+" ["+s.Origin+"]"))
			fmt.Fprintln(w, strings.Join(folded(line, columns, width+2), "\n"))
		}
		return
	}
	t := newTable(w, "KEY", "VALUE", "ORIGIN")
	for _, s := range settings {
		t.row(s.Key, s.Value, s.Origin)
	}
	t.flush()
}

// PrintSettingsJSON writes the configuration as one object a line for each key.
func PrintSettingsJSON(w io.Writer, settings []config.Setting) error {
	for _, s := range settings {
		if err := printJSON(w, s); err != nil {
			return err
		}
	}
	return nil
}
