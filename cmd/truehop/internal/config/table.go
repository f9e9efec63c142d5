package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/truehop/truehop/cmd/truehop/internal/sealed"
)

// TableName is how the table of accounts is called where a file would be.
const TableName = "table account"

// maxSettings bounds the settings of a row.
const maxSettings = 64 << 10

// Row is an account in a table of a database.
type Row struct {
	Name string
	// Settings is a JSON object with keys of an account.
	Settings []byte
	// Enabled says that it is to be an account.
	Enabled bool
	// Secret is the password as package sealed encrypts it, empty if there is none.
	Secret []byte
	// Changed is when the row was written, and another time after each change.
	Changed time.Time
}

// SkippedRow is a row that is no account, and why.
type SkippedRow struct {
	Name     string
	Changed  time.Time
	Problems []Problem
}

// Error returns one line for each problem.
func (s SkippedRow) Error() string { return (&Error{Problems: s.Problems}).Error() }

// Table is what accounts in a table of a database are made of: their rows, and a configuration from files beneath them.
// A row is read once, until it or the files change.
type Table struct {
	base *Config
	rows map[string]readRow
	// builtin are the defaults of an account, beneath the places of keys in the files that hold for every row.
	builtin map[string]any
	beneath map[string]place
}

// readRow is a row and what became of it.
type readRow struct {
	Row
	account  *Account
	problems []Problem
	warnings []Problem
}

// NewTable returns a table without rows over the configuration in files.
func NewTable(base *Config) *Table {
	t := &Table{base: base, rows: map[string]readRow{}, builtin: defaults(reflect.TypeFor[Account]()), beneath: map[string]place{}}
	for path, p := range base.places {
		if !strings.HasPrefix(path, "accounts/") {
			t.beneath[path] = p
		}
	}
	return t
}

// Set reads rows, in place of those of the same names.
func (t *Table) Set(rows ...Row) {
	for _, row := range rows {
		known, ok := t.rows[row.Name]
		same := ok && known.Enabled == row.Enabled && known.Changed.Equal(row.Changed)
		if !same || !bytes.Equal(known.Settings, row.Settings) || !bytes.Equal(known.Secret, row.Secret) {
			t.rows[row.Name] = t.read(row)
		}
	}
}

// Remove forgets rows.
func (t *Table) Remove(names ...string) {
	for _, name := range names {
		delete(t.rows, name)
	}
}

// With returns the table with other rows in place of those of the same names, and without those that are gone. t stays as it is.
func (t *Table) With(rows []Row, gone []string) *Table {
	next := *t
	next.rows = maps.Clone(t.rows)
	next.Set(rows...)
	next.Remove(gone...)
	return &next
}

// Files returns the configuration that is beneath the table.
func (t *Table) Files() *Config { return t.base }

// Rebase reads all rows anew over another configuration in files.
func (t *Table) Rebase(base *Config) *Table {
	next := NewTable(base)
	for _, r := range t.rows {
		next.Set(r.Row)
	}
	return next
}

// Changed returns when each row was written.
func (t *Table) Changed() map[string]time.Time {
	out := make(map[string]time.Time, len(t.rows))
	for name, r := range t.rows {
		out[name] = r.Row.Changed
	}
	return out
}

// Table returns the table that c has accounts of, nil if it has files alone.
func (c *Config) Table() *Table { return c.table }

// Config returns the accounts of the files and, beside them, those of the rows that are right.
func (t *Table) Config() *Config {
	c := *t.base
	c.table = t
	c.Accounts, c.Warnings = maps.Clone(t.base.Accounts), slices.Clone(t.base.Warnings)
	if c.Accounts == nil {
		c.Accounts = map[string]*Account{}
	}
	for _, name := range slices.Sorted(maps.Keys(t.rows)) {
		r := t.rows[name]
		if !r.Enabled {
			continue
		}
		problems := r.problems
		if inFile := t.base.Accounts[name]; inFile != nil {
			p := t.base.places["accounts/"+name]
			problems = []Problem{problem(place{source: TableName}, "accounts/"+name, "is in %s, too, which counts; remove one of the two", p.source)}
		}
		if len(problems) > 0 {
			c.Skipped = append(c.Skipped, SkippedRow{Name: name, Changed: r.Row.Changed, Problems: problems})
			continue
		}
		c.Accounts[name] = r.account
		for _, w := range r.warnings {
			c.Warnings = append(c.Warnings, w.String())
		}
	}
	for _, d := range doubles(slices.Collect(maps.Values(c.Accounts))) {
		name := d.account.Name
		delete(c.Accounts, name)
		c.Skipped = append(c.Skipped, SkippedRow{Name: name, Changed: t.rows[name].Row.Changed,
			Problems: []Problem{problem(place{source: TableName}, "accounts/"+name, "%s", d.why())}})
	}
	slices.SortFunc(c.Skipped, func(a, b SkippedRow) int { return strings.Compare(a.Name, b.Name) })
	return &c
}

// read makes an account of a row by the rules of a file. One that is not enabled is not read: it may be a draft.
func (t *Table) read(row Row) readRow {
	if !row.Enabled {
		return readRow{Row: row}
	}
	r := &report{name: TableName, places: map[string]place{}, beneath: t.beneath, bad: map[string]bool{}}
	account := t.account(row, r)
	if len(r.problems) > 0 {
		return readRow{Row: row, problems: r.err().(*Error).Problems}
	}
	return readRow{Row: row, account: account, warnings: r.warnings}
}

// account returns the account of a row; it counts if r has no problem.
func (t *Table) account(row Row, r *report) *Account {
	if !goodName(row.Name) {
		r.badName(place{source: TableName}, "", row.Name)
		return nil
	}
	at := "accounts/" + row.Name
	r.places[at] = place{source: TableName}
	if len(row.Settings) > maxSettings {
		r.wrong(at, "settings are larger than %d octets", maxSettings)
		return nil
	}
	var node yaml.Node
	err := yaml.Load(row.Settings, &node) // JSON is YAML
	object := err == nil && len(node.Content) == 1 && node.Content[0].Kind == yaml.MappingNode
	if !object {
		r.wrong(at, "settings are no JSON object with keys of an account")
		return nil
	}
	s := &schema{report: r, name: TableName, row: true}
	own := s.mapping(node.Content[0], at, reflect.TypeFor[Account]())
	proves := maps.Clone(own)
	if len(row.Secret) > 0 {
		proves["password"] = "sealed" // what a secret of its own takes the place of
	}
	a, err := decodeAccount(row.Name, t.builtin, inherited(t.base.common, proves), own)
	if err != nil {
		r.wrong(at, "%v", err)
		return nil
	}
	a.InTable = true
	for path := range r.places {
		if path != at {
			a.given = append(a.given, path)
		}
	}
	slices.Sort(a.given)
	if len(row.Secret) > 0 {
		a.sealed = &sealedPassword{account: row.Name, data: row.Secret, keyFile: t.base.AccountsKeyFile, keyCredential: t.base.AccountsKeyCredential}
	}
	t.base.completeAccount(a, r.given)
	checker{report: r, row: true}.account(a, t.base)
	return a
}

// notInRow says why a key cannot stand in a row, "" if it can. Whoever writes the table decides over its accounts, and
// must not thereby decide over the hosts that truehop runs on, nor over what their files hold.
func notInRow(key string) string {
	switch {
	case key == "password":
		return "is a password in the clear, which a table does not take; truehop accounts set --secret encrypts one"
	case strings.HasSuffix(key, "_command"):
		return "starts a program, which a row of a table cannot; put it below defaults: in a file"
	case strings.HasSuffix(key, "_file"), strings.HasSuffix(key, "_credential"):
		return "names a file of this host, which a row of a table cannot; put it below defaults: in a file"
	case strings.HasSuffix(key, "_url"), key == "issuer":
		return "says who is shown the secret of an OAuth application, which a row of a table cannot; put it below defaults: in a file"
	}
	return ""
}

// sealedPassword is the password of an account in a table, and where the key to it is.
type sealedPassword struct {
	account                string
	data                   []byte
	keyFile, keyCredential string
}

// AccountKeys reads the keys to the passwords in the table. The error is a [*SecretError].
func (c *Config) AccountKeys() (sealed.Keys, error) {
	keys, err := (&Credentials{getenv: c.getenv, secrets: c.secrets}).keys(c.AccountsKeyFile, c.AccountsKeyCredential)
	if err != nil {
		return keys, &SecretError{Source: "the key to the table's passwords", Err: err}
	}
	return keys, nil
}

// keys reads the keys to the passwords in the table.
func (c *Credentials) keys(file, credential string) (sealed.Keys, error) {
	var data []byte
	var err error
	source := "accounts_key_file " + file
	switch {
	case file != "":
		data, err = readPrivate(file)
	case credential != "":
		source = "accounts_key_credential " + credential
		data, err = c.credential(credential, "accounts_key_file")
	default:
		source = "accounts_key_file"
		err = errors.New("is not set, and the password is encrypted; name the file with the age identity")
	}
	var keys sealed.Keys
	if err == nil {
		keys, err = sealed.ParseKeys(data)
	}
	if err != nil {
		return keys, fmt.Errorf("%s: %w", source, err)
	}
	return keys, nil
}

// FromState is the value of accounts_from that stands for the database of the record.
const FromState = "postgres"

// table checks what is said of a table of accounts.
func (k checker) table(c *Config) {
	switch {
	case c.AccountsFrom == "":
	case c.AccountsFrom != FromState:
		k.database("accounts_from", c.AccountsFrom, "; postgres is the database that state names", "keep it in ~/.pgpass or a service file")
	case c.State == "" && !k.bad["state"]:
		k.wrong("accounts_from", "postgres is the database that state names, and there is none; set state, or give postgres://USER@HOST/DATABASE")
	}
	k.absolute("accounts_key_file", c.AccountsKeyFile)
	k.credentialName("accounts_key_credential", c.AccountsKeyCredential)
	given := map[string]string{"accounts_key_file": c.AccountsKeyFile, "accounts_key_credential": c.AccountsKeyCredential}
	for key, value := range given {
		if value != "" && c.AccountsFrom == "" {
			k.wrong(key, "has no effect without accounts_from; remove it, or set accounts_from: postgres")
		}
	}
	if c.AccountsKeyFile != "" && c.AccountsKeyCredential != "" {
		k.wrong("accounts_key_credential", "accounts_key_file and accounts_key_credential are both given; keep one")
	}
}
