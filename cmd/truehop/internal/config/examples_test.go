package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every configuration in examples/ is accepted as it stands, with the profiles there really are. Warnings have to
// be excused by the file itself.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../../../examples/*.yaml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := mustParse(t, data, options())
			for _, w := range c.Warnings {
				if !strings.Contains(string(data), "# warns: ") {
					t.Errorf("warning: %s", w)
				}
			}
			if len(c.Warnings) == 0 && strings.Contains(string(data), "# warns: ") {
				t.Error("says that it warns, and does not")
			}
			for name, a := range c.Accounts {
				if a.InlinePassword.Reveal() != "" {
					t.Errorf("%s: an example shows a password in the file", name)
				}
			}
		})
	}
}
