package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// confDir is the directory beside the configuration file whose files add accounts, one each, so that a script or a panel
// can add and remove one without editing a file that others write.
const confDir = "conf.d"

// document is one file of a configuration, or the text that stands for one.
type document struct {
	name string
	data []byte
	// file is nil where data comes from no file.
	file *file
	// err is why it cannot be read.
	err error
	// ignored says that it is in conf.d and not read for its name.
	ignored bool
}

// readDocument reads the file at path. Others must not be able to write it.
func readDocument(path string) document {
	f, err := openChecked(path)
	if err != nil {
		return document{name: path, err: err}
	}
	data, err := f.read(maxFile)
	return document{name: path, data: data, file: f, err: err}
}

// fragments reads conf.d/*.yaml beside the configuration file at path, in the order of their names.
func fragments(path string) []document {
	dir := filepath.Join(filepath.Dir(path), confDir)
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return []document{{name: dir, err: err}}
	}
	var all []document
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch hidden := strings.HasPrefix(e.Name(), "."); {
		case hidden: // an editor's
		case filepath.Ext(path) == ".yaml":
			all = append(all, readDocument(path))
		case filepath.Ext(path) == ".yml":
			all = append(all, document{name: path, ignored: true})
		}
	}
	return all
}

// Files are what has to be read for this configuration: its files, and the directory conf.d where there is one; nothing where the
// environment alone is the configuration.
func (c *Config) Files() []string {
	if len(c.files) == 0 {
		return nil
	}
	dir := filepath.Join(filepath.Dir(c.files[0]), confDir)
	if _, err := os.Stat(dir); err != nil {
		return c.files
	}
	return append([]string{dir}, c.files...)
}

// unreadable says why a file cannot be read, without its name.
func unreadable(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Sprintf("cannot be read: %v", pe.Err)
	}
	return err.Error()
}

// secretsAreKept notes the passwords in a file that others can read.
func (r *report) secretsAreKept(s document) {
	if s.file == nil {
		return
	}
	err := s.file.private()
	if err == nil {
		return
	}
	for path, p := range r.places {
		if strings.HasSuffix(path, "/password") && p.source == s.name {
			r.add(p, path, "a password in a file that others can read: %v; or use password_file", err)
		}
	}
}

// account is all that a file in conf.d holds.
type account struct {
	Accounts map[string]*Account `koanf:"accounts"`
}

// oneAccount notes what a file in conf.d must not hold, and returns its content without that.
func (s *schema) oneAccount(n *yaml.Node) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return n
	}
	only := *n
	only.Content = nil
	accounts := false
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch general := slices.Contains(names(fields(reflect.TypeFor[Config]())), key.Value); {
		case key.Value == "accounts":
			accounts = true
			only.Content = append(only.Content, key, value)
			if value.Kind == yaml.MappingNode && len(value.Content) > 2 {
				s.add(s.at(value.Content[2]), "", "a second account; a file in %s holds one, give it a file of its own", confDir)
			}
		case general:
			s.add(s.at(key), "", "%s belongs in %s; a file in %s holds one account, below accounts:", key.Value, s.report.name, confDir)
		default:
			only.Content = append(only.Content, key, value)
		}
	}
	if !accounts {
		s.empty()
	}
	return &only
}

// empty notes that a file in conf.d holds no account.
func (s *schema) empty() {
	s.add(place{source: s.name}, "", "holds no account; a file in %s begins with accounts: and has one below it", confDir)
}
