package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// Every configuration in examples/ is accepted as it stands, with the profiles there really are. Warnings have to
// be excused by the file itself.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../../../examples/*.yaml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	leaving, err := filepath.Glob("../../../../examples/leaving/*.yaml")
	if err != nil || len(leaving) != 2 {
		t.Fatalf("%d examples of leaving a collector, %v", len(leaving), err)
	}
	for _, file := range append(append(files, leaving...), "../../../../examples/fleet/truehop.yaml") {
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

// What a container's compose.yaml sets in the environment is a whole configuration, that of examples/container and of each mail stack. Over a
// network it warns that nothing is encrypted, and of nothing else.
func TestComposeExamples(t *testing.T) {
	files, err := filepath.Glob("../../../../examples/stacks/*/compose.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d stacks, %v", len(files), err)
	}
	for _, file := range append(files, "../../../../examples/container/compose.yaml") {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var compose struct {
				Services map[string]struct {
					Environment map[string]string `yaml:"environment"`
				} `yaml:"services"`
			}
			if err := yaml.Unmarshal(data, &compose); err != nil {
				t.Fatal(err)
			}
			o := options()
			for name, value := range compose.Services["truehop"].Environment {
				o.Environ = append(o.Environ, name+"="+value)
			}
			c, err := Load("", o)
			if err != nil {
				t.Fatal(err)
			}
			network := c.Targets()[0].Address.Network
			if a := c.Accounts["work"]; a == nil || a.PasswordCredential != "work" || len(c.Accounts) != 1 {
				t.Errorf("the accounts are %+v", c.Accounts)
			}
			for _, w := range c.Warnings {
				if network == "unix" || !strings.Contains(w, "unencrypted") {
					t.Errorf("warning: %s", w)
				}
			}
		})
	}
}
