package exchange

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// encode writes a section of fields.
func (e *encoder) encode(now time.Time, fields []field) (section []byte, base uint64) {
	e.begin(now)
	for _, f := range fields {
		e.add(f.name, f.value)
	}
	return e.end(nil, now, false, nil)
}

func mustRead(t *testing.T, d *decoder, p []byte, want []field) {
	t.Helper()
	var s section
	if err := d.read(&s, p, false, 1<<20); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.fields, want) {
		t.Fatalf("read %q, written was %q", s.fields, want)
	}
}

func TestDictionaryShrinksWhatComesAgain(t *testing.T) {
	e, d, now := encoder{dictionary: &dictionary{}}, decoder{}, time.Now()
	fields := []field{
		{":status", "200"},
		{"Server", "a server with a long name"},
		{"X-Tenant", "customer 4711"},
		{"Last-Modified", "Tue, 15 Nov 1994 08:12:31 GMT"},
		{"Set-Cookie", "id=secret"},
	}
	var sizes []int
	for range 4 {
		p, base := e.encode(now, fields)
		mustRead(t, &d, p, fields)
		if base != 0 {
			e.confirm(base, 1)
		}
		sizes = append(sizes, len(p))
	}
	// base, status, two references, a date, a cookie in full
	if want := 1 + 1 + 2 + 5 + 8; sizes[3] != want || sizes[2] != want || sizes[1] < sizes[0] {
		t.Errorf("the sections take %d bytes; from the third on it should be %d", sizes, want)
	}
}

func TestDictionaryNeverKeepsCredentials(t *testing.T) {
	e := encoder{dictionary: &dictionary{}}
	for range 3 {
		_, base := e.encode(time.Now(), []field{{"Authorization", "Bearer secret"}, {"Cookie", "id=secret"}, {"Set-Cookie", "id=secret"}})
		if base != 0 {
			t.Fatal("a credential is kept")
		}
	}
}

// TestDictionaryInDisorder has sections arrive in any order, some never, and confirmations late or never. What arrives must be what
// was written, and nothing that was given time to arrive may fail.
func TestDictionaryInDisorder(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 1))
		e, d, now := encoder{dictionary: &dictionary{}}, decoder{}, time.Unix(1e9, 0)
		type sent struct {
			p      []byte
			base   uint64
			fields []field
		}
		var underWay []sent
		var unconfirmed []uint64
		references := 0
		for range 5000 {
			now = now.Add(time.Duration(rng.IntN(20)) * time.Millisecond)
			switch rng.IntN(3) {
			case 0, 1:
				var fields []field
				for range 1 + rng.IntN(6) {
					name, value := rng.IntN(20), int(float64(rng.IntN(40))*rng.Float64()*rng.Float64())
					fields = append(fields, field{fmt.Sprintf("X-Name-%d", name), fmt.Sprintf("value %d", value)})
				}
				p, base := e.encode(now, fields)
				if base != 0 {
					references++
				}
				underWay = append(underWay, sent{p, base, fields})
			}
			for len(underWay) > 40 || len(underWay) > 0 && rng.IntN(2) == 0 {
				i := rng.IntN(len(underWay))
				s := underWay[i]
				underWay = slices.Delete(underWay, i, i+1)
				if rng.IntN(50) == 0 {
					continue // broken off
				}
				mustRead(t, &d, s.p, s.fields)
				if s.base != 0 && rng.IntN(50) != 0 {
					unconfirmed = append(unconfirmed, s.base)
				}
			}
			for len(unconfirmed) > 0 && rng.IntN(2) == 0 {
				i := rng.IntN(len(unconfirmed))
				e.confirm(unconfirmed[i], 1)
				unconfirmed = slices.Delete(unconfirmed, i, i+1)
			}
			if len(e.batches) > batchesMax {
				t.Fatalf("%d batches", len(e.batches))
			}
		}
		if references < 1000 {
			t.Errorf("seed %d: only %d sections used the dictionary", seed, references)
		}
	}
}

// TestDictionaryFailsCleanly has a section arrive that was given up as lost, when its slots hold something else.
func TestDictionaryFailsCleanly(t *testing.T) {
	e, d, now := encoder{dictionary: &dictionary{}}, decoder{}, time.Unix(1e9, 0)
	old := []field{{"X-Old", "an old value"}}
	for range 2 {
		p, base := e.encode(now, old)
		mustRead(t, &d, p, old)
		e.confirm(base, 1)
	}
	late, _ := e.encode(now, old)
	for i := range 2000 { // never confirmed again
		now = now.Add(time.Second)
		fields := []field{{fmt.Sprintf("X-New-%d", i/2), "a new value"}}
		p, base := e.encode(now, fields)
		mustRead(t, &d, p, fields)
		e.confirm(base, 1)
	}
	var s section
	err := d.read(&s, late, false, 1<<20)
	var f *failure
	if !errors.As(err, &f) || f.code != CodeStale {
		t.Errorf("a section whose lines are gone gives %v and %q, want that it is stale", err, s.fields)
	}
}

func TestDates(t *testing.T) {
	for _, c := range []struct {
		text   string
		packed bool
	}{
		{"Tue, 15 Nov 1994 08:12:31 GMT", true},
		{"Thu, 01 Jan 1970 00:00:00 GMT", true},
		{"Sun, 07 Feb 2106 06:28:15 GMT", true},
		{"Sun, 07 Feb 2106 06:28:16 GMT", false},
		{"Mon, 15 Nov 1994 08:12:31 GMT", false}, // it was a Tuesday
		{"Tue, 15 Nov 1994 08:12:31 CET", false},
		{"Tue, 15 nov 1994 08:12:31 GMT", false},
		{"0", false},
		{"", false},
	} {
		seconds, ok := parseDate(c.text)
		if ok != c.packed || ok && formatDate(seconds) != c.text {
			t.Errorf("%q: packed %v as %q", c.text, ok, formatDate(seconds))
		}
		var e encoder
		var d decoder
		fields := []field{{"Expires", c.text}}
		p, _ := e.encode(time.Time{}, fields)
		mustRead(t, &d, p, fields)
	}
}

func TestStaticTable(t *testing.T) {
	seen := map[field]bool{}
	for i, f := range static {
		switch {
		case seen[f]:
			t.Errorf("%q is there twice", f)
		case f.name[0] != ':' && (canonical(f.name) != f.name || ofHop(f.name) || f.name == "Host"):
			t.Errorf("%q can't be a field's name", f.name)
		case !validValue(f.value):
			t.Errorf("%q can't be a value", f.value)
		case habits[f.name]&dated != 0 && staticNames[f.name] > 15 && f.name != "If-Unmodified-Since":
			t.Errorf("%q stands at %d, too far behind for a date", f.name, i)
		}
		seen[f] = true
	}
	for name := range habits {
		if _, ok := staticNames[name]; !ok {
			t.Errorf("%q has habits and no place in the table", name)
		}
	}
}
