package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/truehop/truehop/fetch"
)

// Search is a [fetch.Search] as a person writes it: keys with their arguments, all of which a message has to fit.
// An argument with a blank in it stands in double quotes, in which a backslash takes what follows as it is.
type Search struct {
	fetch.Search
	text string
}

// maxSearchText bounds a text that is searched for, in octets.
const maxSearchText = 256

// String is the form that UnmarshalText reads.
func (s Search) String() string { return s.text }

// UnmarshalText reads a search such as unseen since 2026-01-31 not from "News Letter".
func (s *Search) UnmarshalText(text []byte) error {
	words, err := searchWords(string(text))
	if err != nil {
		return err
	}
	var made fetch.Search
	for len(words) > 0 {
		not := false
		for len(words) > 0 && words[0] == "not" {
			not, words = !not, words[1:]
		}
		if len(words) == 0 {
			return errors.New("a key is missing behind not")
		}
		c, rest, err := criterion(words)
		if err != nil {
			return err
		}
		c.Not = c.Not != not
		made, words = append(made, c), rest
	}
	*s = Search{made, strings.TrimSpace(string(text))}
	return nil
}

// searchWords splits a search at its blanks.
func searchWords(text string) (words []string, err error) {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return nil, errors.New("holds a control character, or is not UTF-8")
	}
	for rest := strings.TrimLeft(text, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		if rest[0] != '"' {
			word, after, _ := strings.Cut(rest, " ")
			if strings.Contains(word, `"`) {
				return nil, fmt.Errorf("a quotation mark within %s; put the whole argument in quotes", show(word))
			}
			words, rest = append(words, word), after
			continue
		}
		var word strings.Builder
		n := 1
		for ; n < len(rest) && rest[n] != '"'; n++ {
			if rest[n] == '\\' && n+1 < len(rest) {
				n++
			}
			word.WriteByte(rest[n])
		}
		if n >= len(rest) {
			return nil, errors.New("a quotation mark is not closed")
		}
		if rest = rest[n+1:]; rest != "" && rest[0] != ' ' {
			return nil, errors.New("a blank is missing behind a quotation mark")
		}
		words = append(words, word.String())
	}
	return words, nil
}

// searchKey is a key and what its argument is, "" if it has none.
type searchKey struct {
	key  fetch.SearchKey
	word string
	want string
}

// criterion reads a key with its arguments off the front.
func criterion(words []string) (c fetch.Criterion, rest []string, err error) {
	// In the order in which they are named to a person.
	keys := []searchKey{
		{fetch.Seen, "seen", ""}, {fetch.Seen, "unseen", ""}, {fetch.Flagged, "flagged", ""}, {fetch.Answered, "answered", ""}, {fetch.Draft, "draft", ""},
		{fetch.Keyword, "keyword", "a keyword"}, {fetch.Since, "since", "a day"}, {fetch.Before, "before", "a day"},
		{fetch.Younger, "younger", "an age"}, {fetch.Older, "older", "an age"},
		{fetch.From, "from", "a text"}, {fetch.To, "to", "a text"}, {fetch.Cc, "cc", "a text"}, {fetch.Subject, "subject", "a text"},
		{fetch.HeaderField, "header", "the name of a field and a text"}, {fetch.Larger, "larger", "a size"}, {fetch.Smaller, "smaller", "a size"},
	}
	var names []string
	for _, k := range keys {
		names = append(names, k.word)
	}
	i := slices.Index(names, words[0])
	if i < 0 {
		if meant := nearest(words[0], names); meant != "" {
			return c, nil, fmt.Errorf("unknown search key %s; did you mean %q?", show(words[0]), meant)
		}
		return c, nil, fmt.Errorf("unknown search key %s; want not or one of %s", show(words[0]), strings.Join(names, ", "))
	}
	k, rest := keys[i], words[1:]
	c = fetch.Criterion{Key: k.key, Not: k.word == "unseen"}
	if k.want == "" {
		return c, rest, nil
	}
	if k.key == fetch.HeaderField && len(rest) > 0 {
		c.Field, rest = rest[0], rest[1:]
		foreign := func(r rune) bool { return r <= ' ' || r > '~' || r == ':' } // RFC 5322 section 3.6.8
		if c.Field == "" || len(c.Field) > 76 || strings.ContainsFunc(c.Field, foreign) {
			return c, nil, fmt.Errorf("%s is no name of a header field", show(c.Field))
		}
	}
	if len(rest) == 0 {
		return c, nil, fmt.Errorf("%s needs %s", k.word, k.want)
	}
	if err := argument(&c, rest[0]); err != nil {
		return c, nil, fmt.Errorf("%s: %w", k.word, err)
	}
	return c, rest[1:], nil
}

// argument reads what stands behind a key.
func argument(c *fetch.Criterion, text string) (err error) {
	switch c.Key {
	case fetch.Since, fetch.Before:
		if c.Day, err = time.Parse(time.DateOnly, text); err != nil || c.Day.Year() < 1900 {
			return fmt.Errorf("want a day such as 2026-01-31, got %s", show(text))
		}
	case fetch.Younger, fetch.Older:
		age, err := ParseDuration(text)
		switch day := 24 * time.Hour; {
		case err != nil:
			return err
		case age < day, age%day != 0, age > 36500*day:
			return fmt.Errorf("%s is no number of days, as in 30d: servers compare days", show(text))
		default:
			c.Days = int(age / day)
		}
	case fetch.Larger, fetch.Smaller:
		var size Size
		if err := size.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		// RFC 9051 section 9: number64 has 63 bits; many servers know 32.
		if c.Size = int64(size); c.Size == 0 || c.Size > 1<<32-1 {
			return fmt.Errorf("%s is out of range; want 1B to 4294967295B", show(text))
		}
	case fetch.Keyword:
		// A keyword as flag: takes it; a system flag has a key of its own.
		if err := new(fetch.Disposal).UnmarshalText([]byte("flag:" + text)); err != nil {
			return err
		}
		c.Text = text
	default:
		if text == "" && c.Key != fetch.HeaderField {
			return errors.New("the text is empty, which would fit any message")
		}
		if len(text) > maxSearchText {
			return fmt.Errorf("the text has more than %d octets", maxSearchText)
		}
		c.Text = text
	}
	return err
}
