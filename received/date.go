package received

import (
	"strings"
	"time"
)

// months holds the names of RFC 5322, 3.3, three letters each.
const months = "janfebmaraprmayjunjulaugsepoctnovdec"

// parseTime reads the date of a Received field. Besides RFC 5322's form it
// takes what old and odd writers print: the day missing, the year before the
// zone (asctime), an alphabetic zone, no zone. The result is in UTC; it is
// zero where the text is no date.
func parseTime(s string) time.Time {
	var d dateParts
	d.year, d.day, d.month, d.hour = -1, -1, -1, -1
	for n := 0; n < 12 && s != ""; n++ {
		start := 0
		for start < len(s) && (s[start] == ' ' || s[start] == ',') {
			start++
		}
		end := start
		for end < len(s) && s[end] != ' ' && s[end] != ',' {
			end++
		}
		if start == end || s[start] == '(' || s[start] == ';' {
			break
		}
		d.word(s[start:end])
		s = s[end:]
	}
	if d.year < 0 || d.day < 1 || d.month < 0 || d.hour < 0 {
		return time.Time{}
	}
	return time.Date(d.year, time.Month(d.month+1), d.day, d.hour, d.min, d.sec, 0, time.UTC).
		Add(-time.Duration(d.offset) * time.Minute)
}

type dateParts struct {
	year, month, day, hour, min, sec int
	offset                           int // minutes east of UTC
}

// word takes one word of the date for what its shape says it is.
func (d *dateParts) word(w string) {
	switch c := w[0]; {
	case (c == '+' || c == '-') && len(w) == 5:
		d.zone(w)
	case c >= '0' && c <= '9':
		d.number(w)
	case len(w) >= 3 && d.month < 0:
		var low [3]byte
		for i := range low {
			low[i] = w[i] | 0x20
		}
		if i := strings.Index(months, string(low[:])); i >= 0 && i%3 == 0 {
			d.month = i / 3
		}
	case d.hour >= 0 && d.offset == 0:
		d.zoneName(w)
	}
}

// number reads a day, a year, a whole date, or a time of day.
func (d *dateParts) number(w string) {
	if strings.IndexByte(w, ':') > 0 {
		d.clock(w)
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

// clock reads hours, minutes and, if given, seconds.
func (d *dateParts) clock(w string) {
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
}

func (d *dateParts) zone(w string) {
	h, m := digits(w[1:3]), digits(w[3:5])
	if h < 0 || m < 0 {
		return
	}
	d.offset = h*60 + m
	if w[0] == '-' {
		d.offset = -d.offset
	}
}

// zoneName knows the zones of RFC 5322, 4.3; others count as -0000.
func (d *dateParts) zoneName(w string) {
	switch strings.ToUpper(w) {
	case "EDT":
		d.offset = -4 * 60
	case "EST", "CDT":
		d.offset = -5 * 60
	case "CST", "MDT":
		d.offset = -6 * 60
	case "MST", "PDT":
		d.offset = -7 * 60
	case "PST":
		d.offset = -8 * 60
	}
}

// digits is the value of a string of up to nine digits, else -1.
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
