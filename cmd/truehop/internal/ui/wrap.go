package ui

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// Folded breaks a text into lines of at most so many columns.
func Folded(text string, columns int) string { return strings.Join(wrapped(text, columns), "\n") }

// wrapped breaks a text into lines of at most so many columns, at blanks where there are any; 0 or less keeps it in one.
func wrapped(text string, columns int) []string {
	if text == "" {
		return nil
	}
	if columns <= 0 {
		return []string{text}
	}
	var lines []string
	for runewidth.StringWidth(text) > columns {
		head := runewidth.Truncate(text, columns, "")
		if head == "" { // one character is wider
			break
		}
		if at := strings.LastIndexByte(head, ' '); at > columns/3 && text[len(head):][0] != ' ' {
			head = head[:at]
		}
		lines = append(lines, strings.TrimRight(head, " "))
		text = strings.TrimLeft(text[len(head):], " ")
	}
	if text == "" {
		return lines
	}
	return append(lines, text)
}
