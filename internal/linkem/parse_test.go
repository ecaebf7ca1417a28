package linkem_test

import (
	"testing"
	"time"

	"github.com/wherry/wherry/internal/linkem"
)

func TestParseRateAndBytes(t *testing.T) {
	for text, want := range map[string]int64{"100mbit": 100e6, "1.5Gbit": 1.5e9, "800kbit": 800e3, "9600bit": 9600, "mbit": -1, "100": -1, "-1mbit": -1, "1e3mbit": -1, "": -1} {
		if got, err := linkem.ParseRate(text); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("rate %q: %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]int64{"100KiB": 102400, "4GiB": 4 << 30, "64kB": 64000, "3000": 3000, "1.5MiB": 3 << 19, "0": -1, "KiB": -1, "9999999GiB": -1, "5 apples": -1} {
		if got, err := linkem.ParseBytes(text); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("size %q: %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseFractionAndReorder(t *testing.T) {
	for text, want := range map[string]float64{"1%": 0.01, "0.01": 0.01, "0": 0, "100%": 1, "2": -1, "-1%": -1, "NaN": -1, "x%": -1} {
		if got, err := linkem.ParseFraction(text); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	if f, later, err := linkem.ParseReorder("2%:5ms"); f != 0.02 || later != 5*time.Millisecond || err != nil {
		t.Errorf("2%%:5ms: %v, %v, %v", f, later, err)
	}
	for _, text := range []string{"2%:", "2%:-1ms", "x:1ms"} {
		if _, _, err := linkem.ParseReorder(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestParseQueueKnowsTheLink(t *testing.T) {
	s := linkem.Shape{RateBits: 100e6, Delay: 50 * time.Millisecond}
	for text, want := range map[string]int{"1bdp": 1_250_000, "0.2BDP": 250_000, "64KiB": 65536, "bdp": -1, "0bdp": -1, "infbdp": -1, "0.0001bdp": -1} {
		if got, err := linkem.ParseQueue(text, s); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}
