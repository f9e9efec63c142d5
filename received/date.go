package received

import (
	"strings"
	"time"
)

// months holds the names of RFC 5322, 3.3, three letters each.
const months = "janfebmaraprmayjunjulaugsepoctnovdec"

// zones are the alphabetic zones of RFC 5322, 4.3, in hours east of UTC.
var zones = [...]struct {
	name  string
	hours int
}{
	{"EDT", -4}, {"EST", -5}, {"CDT", -5}, {"CST", -6}, {"MDT", -6}, {"MST", -7}, {"PDT", -7}, {"PST", -8},
}

// A dateTime collects the parts of a date. A part of -1 has not been read.
type dateTime struct {
	year, month, day, hour, min, sec int
	offset                           int // minutes east of UTC
}

// parseTime reads the date of a Received field. Besides the form of RFC 5322 it
// accepts what old and odd writers print: no day of the week, the year before
// the zone (asctime), an alphabetic zone, no zone. Each word is recognised by
// its shape; an unknown zone counts as UTC (RFC 5322, 4.3). The result is in
// UTC, and the zone as it is written. Both are zero if the text is not a date.
func parseTime(s string) (t time.Time, zone string) {
	d := dateTime{year: -1, month: -1, day: -1, hour: -1}
	for n := 0; n < 12 && s != ""; n++ {
		start := 0
		for start < len(s) && dateGap(s[start]) {
			start++
		}
		end := start
		for end < len(s) && !dateGap(s[end]) {
			end++
		}
		if start == end || s[start] == '(' || s[start] == ';' {
			break
		}
		var w string
		w, s = s[start:end], s[end:]
		switch {
		case len(w) == 5 && strings.IndexByte("+-", w[0]) >= 0:
			if h, m := digits(w[1:3]), digits(w[3:5]); h >= 0 && m >= 0 {
				zone = w
				d.offset = h*60 + m
				if w[0] == '-' {
					d.offset = -d.offset
				}
			}
		case w[0] >= '0' && w[0] <= '9':
			d.number(w)
		case len(w) >= 3 && d.month < 0:
			name := [...]byte{w[0] | 0x20, w[1] | 0x20, w[2] | 0x20}
			if i := strings.Index(months, string(name[:])); i >= 0 && i%3 == 0 {
				d.month = i / 3
			}
		case d.hour >= 0 && d.offset == 0:
			if zone == "" {
				zone = w
			}
			for _, z := range zones {
				if foldEqual(w, z.name) {
					d.offset = z.hours * 60
				}
			}
		}
	}
	if d.year < 0 || d.day < 1 || d.month < 0 || d.hour < 0 {
		return time.Time{}, ""
	}
	return time.Date(d.year, time.Month(d.month+1), d.day, d.hour, d.min, d.sec, 0, time.UTC).
		Add(-time.Duration(d.offset) * time.Minute), zone
}

// dateGap reports whether c stands between the words of a date.
func dateGap(c byte) bool { return c == ' ' || c == ',' }

// number reads a word that begins with a digit: a day, a year, a whole date or
// a time of day.
func (d *dateTime) number(w string) {
	if strings.IndexByte(w, ':') > 0 { // hours, minutes and, if there are any, seconds
		w, _, _ = strings.Cut(w, ".") // fractions of a second
		var part [3]int
		n := 0
		for i := 0; i < len(w); i++ {
			switch c := w[i]; {
			case c == ':' && n < 2:
				n++
			case c >= '0' && c <= '9' && part[n] < 100:
				part[n] = part[n]*10 + int(c-'0')
			default:
				return
			}
		}
		if part[0] < 24 && part[1] < 60 && part[2] <= 60 {
			d.hour, d.min, d.sec = part[0], part[1], part[2]
		}
		return
	}
	if len(w) == 10 && w[4] == '-' && w[7] == '-' { // 2006-01-02
		d.year, d.month, d.day = digits(w[:4]), digits(w[5:7])-1, digits(w[8:])
		if d.month > 11 {
			d.month = -1
		}
		return
	}
	v := digits(w)
	switch {
	case v < 0:
	case d.day < 0 && len(w) <= 2 && v >= 1 && v <= 31:
		d.day = v
	case d.year < 0 && len(w) == 4:
		d.year = v
	case d.year < 0 && len(w) <= 3: // RFC 5322, 4.3
		d.year = v + 1900
		if v < 50 {
			d.year = v + 2000
		}
	}
}

// digits returns the value of a string of one to nine digits, -1 for any other.
func digits(s string) int {
	if s == "" || len(s) > 9 {
		return -1
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}
