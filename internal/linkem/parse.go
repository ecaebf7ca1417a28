package linkem

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseRate reads bits a second: "100mbit", "1.5gbit", "800kbit" (powers of ten).
func ParseRate(text string) (bits int64, err error) {
	n, err := parseUnits(text, map[string]float64{"kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "bit": 1})
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q isn't a rate: give one like 100mbit", text)
	}
	return int64(n), nil
}

// ParseBytes reads a size: "100KiB", "4GiB", "64kB", "3000" (bytes).
func ParseBytes(text string) (int64, error) {
	n, err := parseUnits(text, map[string]float64{
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1e3, "mb": 1e6, "gb": 1e9, "b": 1, "": 1,
	})
	if err != nil || n < 1 || n > 1<<50 {
		return 0, fmt.Errorf("%q isn't a size: give one like 100KiB", text)
	}
	return int64(n), nil
}

// ParseFraction reads "1%" or "0.01" as the same.
func ParseFraction(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(number, 64)
	if percent {
		n /= 100
	}
	if err != nil || !(n >= 0 && n <= 1) {
		return 0, fmt.Errorf("%q isn't a part of all packets: give one like 1%%", text)
	}
	return n, nil
}

// ParseQueue reads a size, or a multiple of the link's bandwidth-delay product like "1bdp", for the shape so far.
func ParseQueue(text string, s Shape) (bytes int, err error) {
	number, isBDP := strings.CutSuffix(strings.ToLower(text), "bdp")
	if !isBDP {
		n, err := ParseBytes(text)
		return int(n), err
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n > 0 && n < 1e6) {
		return 0, fmt.Errorf("%q isn't a queue: give one like 1bdp or 64KiB", text)
	}
	bytes = int(n * float64(s.BDPBytes()))
	if bytes < packetBytesMax {
		return 0, fmt.Errorf("%s of this link are %d bytes, less than a packet: give the queue in bytes, like 64KiB", text, bytes)
	}
	return bytes, nil
}

// ParseReorder reads the fraction that others overtake, and if it stands there how much later it comes: "1%" or "1%:5ms".
func ParseReorder(text string) (fraction float64, later time.Duration, err error) {
	part, by, given := strings.Cut(text, ":")
	if fraction, err = ParseFraction(part); err != nil || !given {
		return fraction, 0, err
	}
	later, err = time.ParseDuration(by)
	if err != nil || later <= 0 {
		return 0, 0, fmt.Errorf("%q isn't how much later: give one like 1%%:5ms", by)
	}
	return fraction, later, nil
}

var errUnit = errors.New("no such unit")

func parseUnits(text string, units map[string]float64) (float64, error) {
	split := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if split < 0 {
		split = len(text)
	}
	unit, ok := units[strings.ToLower(strings.TrimSpace(text[split:]))]
	if !ok {
		return 0, errUnit
	}
	n, err := strconv.ParseFloat(text[:split], 64)
	return n * unit, err
}
