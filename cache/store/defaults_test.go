package store

import (
	"net/http"
	"testing"
	"time"
)

func TestAssign(t *testing.T) {
	d := &Defaults{
		TTL: time.Minute, MaxTTL: time.Hour,
		Negative: []Negative{{Statuses: []int{404, 503}, TTL: 10 * time.Second}, {Statuses: []int{410}, Server: true, TTL: time.Second}},
	}
	now := time.Now()
	old := now.Add(-1000 * time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		name   string
		status int
		fields http.Header
		left   time.Duration
		why    string
	}{
		{"the origin says nothing", 200, fields(), time.Minute, "fresh by the site's default_ttl"},
		{"no guess where the site knows", 200, fields("Last-Modified", old), time.Minute, "fresh by the site's default_ttl"},
		{"public alone is no freshness", 200, fields("Cache-Control", "public"), time.Minute, "fresh by the site's default_ttl"},
		{"redirect", 301, fields(), time.Minute, "fresh by the site's default_ttl"},
		{"counted from the arrival", 200, fields("Age", "3600"), time.Minute, "fresh by the site's default_ttl"},
		{"an origin with a slow clock", 200, fields("Date", old), time.Minute, "fresh by the site's default_ttl"},
		{"a redirect for now", 302, fields(), 0, "fresh by no freshness given"},
		{"an error without an entry", 405, fields(), 0, "fresh by no freshness given"},
		{"the origin says max-age", 200, fields("Cache-Control", "max-age=5"), 5 * time.Second, "fresh by max-age"},
		{"the origin says 0", 200, fields("Cache-Control", "max-age=0"), 0, "fresh by max-age"},
		{"the origin says Expires", 200, fields("Expires", "0"), 0, "fresh by invalid Expires"},
		{
			"the origin says too much", 200, fields("Cache-Control", "max-age=86400", "Age", "600"), time.Hour,
			"fresh by the site's max_ttl, shorter than max-age",
		},
		{"not found", 404, fields(), 10 * time.Second, "fresh by the site's negative ttl"},
		{"not found, by a guess", 404, fields("Last-Modified", old), 10 * time.Second, "fresh by the site's negative ttl"},
		{"the origin says max-age of an error", 404, fields("Cache-Control", "max-age=60"), time.Minute, "fresh by max-age"},
		{"one of a class by itself", 503, fields(), 10 * time.Second, "fresh by the site's negative ttl"},
		{"a class", 502, fields(), time.Second, "fresh by the site's negative ttl"},
		{"beside a class", 410, fields(), time.Second, "fresh by the site's negative ttl"},
	} {
		r := NewResponse("", http.Header{}, c.status, c.fields, now, now)
		d.assign(&r.Fresh, r.Status)
		if got := r.Fresh.Left(now).Round(time.Second); got != c.left || r.Fresh.Why != c.why {
			t.Errorf("%s: %v %s; want %v %s", c.name, got, r.Fresh.Why, c.left, c.why)
		}
	}
	r := NewResponse("", http.Header{}, 200, fields("Last-Modified", old), now, now)
	new(Defaults).assign(&r.Fresh, r.Status)
	if got := r.Fresh.Left(now).Round(time.Second); got != heuristicMax || r.Fresh.Basis != "heuristic" {
		t.Errorf("a site that says nothing changes the guess to %v by %s", got, r.Fresh.Basis)
	}
}
