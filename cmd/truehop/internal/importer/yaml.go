package importer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// YAML returns the configuration.
func (p *Plan) YAML() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made from the configuration of %s by truehop import.\ninject:\n", p.Program)
	indent := "  "
	for _, t := range p.Targets {
		if len(p.Targets) > 1 {
			fmt.Fprintf(&b, "  %s:\n", t.Name)
			indent = "    "
		}
		writeKeys(&b, indent, t.keys)
		if t.Secret != nil {
			writeKeys(&b, indent, []setting{{"password_file", t.Secret.Path}})
		}
	}
	if len(p.Targets) == 0 {
		writeKeys(&b, indent, []setting{{"address", listener}})
	}
	b.WriteString("accounts:\n")
	for _, a := range p.Accounts {
		fmt.Fprintf(&b, "  %s:\n", scalar(a.Name))
		writeKeys(&b, "    ", a.keys)
	}
	return []byte(b.String())
}

func writeKeys(b *strings.Builder, indent string, keys []setting) {
	for _, k := range keys {
		fmt.Fprintf(b, "%s%s: ", indent, k.key)
		switch v := k.value.(type) {
		case []string:
			items := make([]string, len(v))
			for i, item := range v {
				items[i] = scalar(item)
			}
			b.WriteString("[" + strings.Join(items, ", ") + "]\n")
		case string:
			b.WriteString(scalar(v) + "\n")
		default: // numbers and truth values
			fmt.Fprintln(b, v)
		}
	}
}

// scalar writes a text so that YAML reads the same.
func scalar(text string) string {
	// What needs no quotes, neither on a line of its own nor in a list: a number with its unit, or a word.
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	unit := strings.TrimLeft(text, "0123456789")
	measure := len(unit) < len(text) && slices.Contains([]string{"s", "m", "h", "d", "B", "KiB", "MiB"}, unit)
	begins := text != "" && strings.IndexByte(letters+"/", text[0]) >= 0
	fits := strings.Trim(text, letters+"0123456789@._/+-:") == "" && !strings.HasSuffix(text, ":")
	word := begins && fits && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}, strings.ToLower(text))
	if measure || word {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"', r == '\\':
			b.WriteString(`\` + string(r))
		case r == unicode.ReplacementChar, !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
