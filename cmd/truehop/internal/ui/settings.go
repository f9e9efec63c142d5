package ui

import (
	"io"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// PrintSettings writes the configuration as a table.
func PrintSettings(w io.Writer, settings []config.Setting) {
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
