package field

import (
	"net/http"
	"strings"
	"time"
)

// The three forms of an HTTP-date (RFC 9110 §5.6.7): # is a digit, ~ a digit or a space, and letters are themselves in any case.
// Where the names of days and months stand, ? is any letter.
const (
	fixdate = "???, ## ??? #### ##:##:## GMT"
	rfc850  = ", ##-???-## ##:##:## GMT" // behind the day's name, which is of any length
	asctime = "??? ??? ~# ##:##:## ####"
)

const (
	dayNames   = "SunMonTueWedThuFriSat"
	monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

var longDayNames = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

// ParseDate reads an HTTP-date in any of its three forms (RFC 9110 §5.6.7). A cache doesn't look at the case of letters (RFC 9111
// §4.2); beyond that only what the grammar has is a date, because what isn't one makes a response stale.
func ParseDate(s string, now time.Time) (time.Time, bool) {
	day, rest, _ := strings.Cut(s, ",")
	switch {
	case shaped(s, fixdate) && inNames(s[:3], dayNames) >= 0:
		return dateOf(number(s[12:16]), s[8:11], s[5:7], s[17:25])
	case shaped(s, asctime) && inNames(s[:3], dayNames) >= 0:
		return dateOf(number(s[20:24]), s[4:7], s[8:10], s[11:19])
	case len(rest)+1 == len(rfc850) && shaped(s[len(day):], rfc850) && isLongDayName(day):
		return recentDate(number(rest[8:10]), rest[4:7], rest[1:3], rest[11:19], now)
	}
	return time.Time{}, false
}

// recentDate is dateOf for a year of two digits: one that seems more than 50 years ahead is the latest one in the past
// (RFC 9110 §5.6.7).
func recentDate(year int, month, day, clock string, now time.Time) (t time.Time, ok bool) {
	year += (now.Year()/100 + 1) * 100
	for range 3 {
		if t, ok = dateOf(year, month, day, clock); ok && !t.After(now.AddDate(50, 0, 0)) {
			break
		}
		year -= 100
	}
	if !ok || t.Before(now.AddDate(-50, 0, -1)) { // 29 February, where the latest such year has none
		return time.Time{}, false
	}
	return t, true
}

// dateOf puts a date together from its parts, whose digits are known to be digits.
func dateOf(year int, monthName, dayOfMonth, clock string) (time.Time, bool) {
	month, day := inNames(monthName, monthNames)+1, number(dayOfMonth)
	hour, minute, second := number(clock[:2]), number(clock[3:5]), number(clock[6:8])
	if month == 0 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	second = min(second, 59) // RFC 9111 §4.2: a leap second, which our time hasn't, is the nearest time before
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if t.Day() != day || t.Month() != time.Month(month) {
		return time.Time{}, false // 31 Feb
	}
	return t, true
}

func shaped(s, pattern string) bool {
	if len(s) != len(pattern) {
		return false
	}
	for i := range len(s) {
		c, p := s[i], pattern[i]
		digit, letter := '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z'
		switch {
		case p == '#' && digit, p == '~' && (digit || c == ' '), p == '?' && letter, c == p:
		case 'A' <= p && p <= 'Z' && c == p|0x20:
		default:
			return false
		}
	}
	return true
}

// inNames returns which of names, which have three letters each, name is in any case; -1 if it is none.
func inNames(name, names string) int {
	for i := 0; i < len(names); i += 3 {
		if strings.EqualFold(name, names[i:i+3]) {
			return i / 3
		}
	}
	return -1
}

func isLongDayName(name string) bool {
	for _, day := range longDayNames {
		if strings.EqualFold(name, day) {
			return true
		}
	}
	return false
}

// number returns the value of digits, before which a space may stand.
func number(digits string) (n int) {
	for i := range len(digits) {
		if digits[i] != ' ' {
			n = n*10 + int(digits[i]-'0')
		}
	}
	return n
}

// Date returns the date in field name: ok is false if it is absent or not a date. Of several lines the first counts (RFC 9111
// §4.2.1).
func Date(h http.Header, name string, now time.Time) (t time.Time, ok bool) {
	lines := h[name]
	if len(lines) == 0 {
		return time.Time{}, false
	}
	return ParseDate(lines[0], now)
}
