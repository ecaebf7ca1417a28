package purges

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wherry/wherry/cache/store"
)

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// response is one that is asked for now.
func response(t *Table, key store.Key, tags, groups []string) *store.Response {
	r := store.NewResponse(key, nil, 200, nil, began, began)
	r.Tags, r.Groups = tags, groups
	r.SetBorn(t.Now())
	return r
}

func TestScopes(t *testing.T) {
	keys := func(k ...store.Key) []store.Key { return k }
	for _, c := range []struct {
		name string
		p    Purge
		gone string // of the responses below, by their names
	}{
		{"key", Purge{Scope: Keys, Keys: keys("shop http://shop.test/a?x=1")}, "[a]"},
		{"key, and what No-Vary-Search has put elsewhere", Purge{Scope: Keys, Keys: keys("shop http://shop.test/rule?y")}, "[rule]"},
		{"prefix", Purge{Scope: Prefix, Keys: keys("shop http://shop.test/a")}, "[a ab https]"},
		{"prefix of a shared copy", Purge{Scope: Prefix, Keys: keys("shop http://*/")}, "[shared]"},
		{"several prefixes", Purge{Scope: Prefix, Keys: keys("shop http://*/", "shop http://shop.test/ab")}, "[ab shared]"},
		{"path", Purge{Scope: Path, Keys: keys("shop http://shop.test/a")}, "[a https]"},
		{"path by rule", Purge{Scope: Path, Keys: keys("shop http://shop.test/rule")}, "[rule]"},
		{"tag", Purge{Scope: Tag, Tag: "t"}, "[a blog]"},
		{"tag of a site", Purge{Scope: Tag, Tag: "t", Site: "shop"}, "[a]"},
		{"group", Purge{Scope: Tag, Tag: "g"}, "[ab]"},
		{"site", Purge{Scope: Site, Site: "blog"}, "[blog]"},
		{"site whose name begins alike", Purge{Scope: Site, Site: "blo"}, "[]"},
		{"all", Purge{Scope: All}, "[a ab blog https rule shared]"},
		{"nothing", Purge{Scope: Keys}, "[]"},
	} {
		for _, soft := range []bool{false, true} {
			table := New()
			all := map[string]*store.Response{
				"a":      response(table, "shop http://shop.test/a?x=1", []string{"s", "t"}, nil),
				"ab":     response(table, "shop http://shop.test/ab", nil, []string{"g"}),
				"https":  response(table, "shop https://shop.test/a", nil, nil),
				"rule":   response(table, store.Key("shop http://shop.test/rule?x").UnderRule("params"), nil, nil),
				"shared": response(table, "shop http://*/s", nil, nil),
				"blog":   response(table, "blog http://blog.test/a?x=1", []string{"t"}, nil),
			}
			c.p.Soft = soft
			now := began.Add(time.Hour)
			table.Add(&c.p, now)
			var gone []string
			for name, r := range all {
				for range 2 { // the second time by what it remembers
					f := table.Check(r)
					if (f.Standing != Current) != (f.Why != "") || table.Current(r) != (f.Standing == Current) {
						t.Errorf("%s: %s: %+v", c.name, name, f)
					}
					if f.Standing != Current && (f.Standing == Stale) != soft || f.Standing == Stale && !f.Since.Equal(now) {
						t.Errorf("%s: %s: %+v", c.name, name, f)
					}
				}
				if table.Check(r).Standing != Current {
					gone = append(gone, name)
				}
				if c.p.Scope != Tag && c.p.Matches(r.Key) != (table.Check(r).Standing != Current) {
					t.Errorf("%s: %s: Matches says something else", c.name, name)
				}
				if after := response(table, r.Key, r.Tags, r.Groups); table.Check(after).Standing != Current {
					t.Errorf("%s: %s: purged, though it was asked for later", c.name, name)
				}
			}
			slices.Sort(gone)
			if got := fmt.Sprint(gone); got != c.gone {
				t.Errorf("%s: %s, want %s", c.name, got, c.gone)
			}
		}
	}
}

func TestGroups(t *testing.T) {
	table := New()
	shop := response(table, "shop http://shop.test/a", nil, []string{"g"})
	other := response(table, "shop http://other.test/a", nil, []string{"g"})
	rule := response(table, store.Key("shop http://shop.test/a?x").UnderRule("params"), nil, nil)
	table.InvalidateGroups([]string{"shop http://shop.test"}, []string{"g", "h"})
	if f := table.Check(shop); f.Standing != Invalid || f.Why != `its group "g" was invalidated` || table.Check(other).Standing != Current {
		t.Errorf("%+v", f)
	}
	table.InvalidateBase("shop http://shop.test/a")
	if table.Check(rule).Standing != Invalid || table.Check(other).Standing != Current {
		t.Error("by base")
	}
	table.Add(&Purge{Scope: Tag, Tag: "g"}, began)
	if table.Check(shop).Standing != Gone || table.Check(other).Standing != Gone {
		t.Error("the worst doesn't count")
	}
}

// TestBounded: what is forgotten counts as softly purged, but not to what was compared with it before.
func TestBounded(t *testing.T) {
	table := New()
	tag := func(i int) []string { return []string{fmt.Sprint(i)} }
	old, seen := response(table, "shop http://shop.test/old", tag(-1), nil), response(table, "shop http://shop.test/seen", tag(-1), nil)
	const n = marksMax + 1
	var made []*store.Response
	for i := range n {
		made = append(made, response(table, "shop http://shop.test/", tag(i), nil))
		table.Add(&Purge{Scope: Tag, Tag: fmt.Sprint(i)}, began)
		if i == n-2 && (table.Check(seen).Standing != Current || table.Check(old).Standing != Current) {
			t.Fatal("purged by others' tags")
		}
	}
	if len(table.marks.all) > marksMax {
		t.Errorf("%d remembered", len(table.marks.all))
	}
	young := response(table, "shop http://shop.test/young", tag(-1), nil)
	if table.Check(young).Standing != Current || table.Check(seen).Standing != Current {
		t.Error("what came after, or was compared, counts as purged")
	}
	unseen := response(table, "shop http://shop.test/unseen", tag(-1), nil)
	unseen.SetBorn(store.Generation{Boot: table.boot, Tick: 1})
	if table.Check(unseen).Standing != Stale {
		t.Error("what wasn't compared with what is forgotten isn't stale")
	}
	for i, r := range made {
		want := Gone
		if i <= n/2-1 {
			want = Stale
		}
		if got := table.Check(r).Standing; got < Stale || i > n/2+1 && got != want {
			t.Fatalf("%d: %d, want %d", i, got, want)
		}
	}
	for i := range groupsMax + 1 {
		table.InvalidateGroups([]string{"o"}, tag(i))
	}
	grouped := response(table, "shop http://shop.test/g", nil, tag(-1))
	first := response(table, "shop http://shop.test/g", nil, tag(-1))
	first.SetBorn(store.Generation{Boot: table.boot, Tick: n + 1})
	if table.Check(grouped).Standing != Current || table.Check(first).Standing != Invalid || len(table.groups.all) > groupsMax {
		t.Error("groups")
	}
}

func TestBoundedPrefixes(t *testing.T) {
	table := New()
	for i := range marksMax + 1 {
		key := store.Key("shop http://shop.test/" + fmt.Sprintf("%0*d", i%50+6, i))
		table.Add(&Purge{Scope: Prefix, Keys: []store.Key{key}}, began)
	}
	if len(table.lengths) > 50 || !slices.IsSorted(table.lengths) {
		t.Errorf("lengths %v", table.lengths)
	}
}

// TestFormerProcess: what another process stored is compared with what the feed remembers, and with all that is purged here.
func TestFormerProcess(t *testing.T) {
	of := func(seq uint64, tags ...string) *store.Response {
		r := store.NewResponse("shop http://shop.test/", nil, 200, nil, began, began)
		r.Tags, r.Born = tags, store.Generation{Seq: seq, Boot: 99, Tick: 1 << 40}
		return r
	}
	alone := New() // without a feed
	if alone.Check(of(5)).Standing != Current || alone.Check(of(5, "t")).Standing != Invalid {
		t.Error("without a feed, what has tags needs validation")
	}
	alone.Add(&Purge{Scope: All}, began)
	if alone.Check(of(5)).Standing != Gone {
		t.Error("a purge of this process doesn't count")
	}

	table := New()
	table.Restore([]Purge{{Seq: 10, Scope: Tag, Tag: "t"}, {Seq: 12, Scope: Tag, Tag: "s", Soft: true}}, 5, 20, began)
	for _, c := range []struct {
		r    *store.Response
		want Standing
	}{
		{of(20, "t", "s"), Current},
		{of(11, "t"), Current},
		{of(11, "s"), Stale},
		{of(9, "t"), Gone},
		{of(9, "t", "s"), Gone},
		{of(5, "x"), Current},
		{of(4, "x"), Stale},
		{of(4, "t"), Gone},
		{of(0), Stale},
	} {
		if got := table.Check(c.r); got.Standing != c.want {
			t.Errorf("%v at %d: %+v, want %d", c.r.Tags, c.r.Born.Seq, got, c.want)
		}
	}
	own := response(table, "shop http://shop.test/", []string{"t", "s"}, nil)
	if own.Born.Seq != 20 || table.Check(own).Standing != Current {
		t.Errorf("%+v", own.Born)
	}
	table.Add(&Purge{Seq: 3, Scope: Tag, Tag: "t"}, began) // whatever its number
	if table.Check(own).Standing != Gone || table.Check(of(20, "t")).Standing != Gone || table.Now().Seq != 20 {
		t.Error("a purge that comes late")
	}
}

// TestNeverBetterThanItIs: a response that was asked for before a purge that is about it is never current after it, whatever was looked at
// meanwhile and however often the process was started again.
func TestNeverBetterThanItIs(t *testing.T) {
	type purged struct {
		Purge
		n int // in the order of all that happens
	}
	type stored struct {
		*store.Response
		n, boots int
	}
	about := func(p *Purge, r *store.Response) bool {
		site, _ := r.Key.Split()
		if p.Scope == Tag {
			return (p.Site == "" || p.Site == site) && (slices.Contains(r.Tags, p.Tag) || slices.Contains(r.Groups, p.Tag))
		}
		return p.Matches(r.Key)
	}
	rapid.Check(t, func(t *rapid.T) {
		table, n, boots, seq := New(), 0, 0, uint64(0)
		var purgesSoFar []purged
		var all []*stored
		name := rapid.SampledFrom([]string{"a", "b", "c"})
		key := rapid.Custom(func(t *rapid.T) store.Key {
			k := store.Key(name.Draw(t, "site") + " http://h/" + name.Draw(t, "path") + "/" + name.Draw(t, "name"))
			if rapid.Bool().Draw(t, "query") {
				k += "?" + store.Key(name.Draw(t, "value"))
			}
			if rapid.IntRange(0, 4).Draw(t, "by rule") == 0 {
				k = k.UnderRule("params")
			}
			return k
		})
		check := func() {
			for _, r := range all {
				want := Current
				for _, p := range purgesSoFar {
					if p.n < r.n || !about(&p.Purge, r.Response) {
						continue
					}
					if p.Soft {
						want = max(want, Stale)
					} else {
						want = Gone
					}
				}
				got := table.Check(r.Response)
				exact := r.boots == boots || len(r.Tags)+len(r.Groups) == 0 && !r.Key.ByRule()
				if got.Standing < want || exact && got.Standing != want {
					t.Fatalf("%q %q %q of boot %d at %d: %+v, want %d; %+v", r.Key, r.Tags, r.Groups, r.boots, r.n, got, want, purgesSoFar)
				}
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			n++
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				var remembered []Purge
				for _, p := range purgesSoFar {
					remembered = append(remembered, p.Purge)
				}
				table = New()
				boots++
				table.Restore(remembered, 0, seq, began)
				for _, r := range all {
					r.Checks = new(store.Checks)
				}
			case 1, 2, 3:
				seq++
				p := purged{Purge: Purge{Seq: seq, Scope: Scope(rapid.IntRange(0, int(All)).Draw(t, "scope")), Soft: rapid.Bool().Draw(t, "soft")}, n: n}
				switch p.Scope {
				case Keys:
					p.Keys = []store.Key{key.Draw(t, "key")}
				case Path:
					p.Keys = []store.Key{store.Key(key.Draw(t, "key").Base())}
				case Prefix:
					p.Keys = []store.Key{key.Draw(t, "key")[:rapid.IntRange(len("a http://h/"), len("a http://h/a/b")).Draw(t, "length")]}
				case Tag:
					p.Tag = name.Draw(t, "tag")
					p.Site = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "of site")
				case Site:
					p.Site = name.Draw(t, "of site")
				}
				table.Add(&p.Purge, began)
				purgesSoFar = append(purgesSoFar, p)
			case 4:
				check() // what is remembered with responses must not hide what comes later
			default:
				tags := rapid.SliceOfN(name, 0, 2)
				r := response(table, key.Draw(t, "key"), tags.Draw(t, "tags"), tags.Draw(t, "groups"))
				all = append(all, &stored{r, n, boots})
			}
		}
		check()
	})
}

func TestConcurrent(t *testing.T) {
	table := New()
	r := response(table, "shop http://shop.test/", []string{"t"}, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 1000 {
			table.Add(&Purge{Scope: Tag, Tag: fmt.Sprint(i)}, began)
		}
		table.Add(&Purge{Scope: Tag, Tag: "t"}, began)
	}()
	for table.Current(r) {
		_ = table.Now()
	}
	<-done
	if table.Check(r).Standing != Gone {
		t.Error("it comes back")
	}
}

// BenchmarkPurgeTag is a purge by tag where 100,000 objects are stored, each with two tags.
func BenchmarkPurgeTag(b *testing.B) {
	table := New()
	all := make([]*store.Response, 100_000)
	for i := range all {
		all[i] = response(table, store.Key(fmt.Sprintf("shop http://shop.test/%d", i)), []string{"all", fmt.Sprint("t", i%1000)}, nil)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		table.Add(&Purge{Scope: Tag, Tag: fmt.Sprint("t", i%1000), Site: "shop"}, began)
		i++
	}
}

// BenchmarkCheck is what the first look at a response costs after a purge that isn't about it; Current after that.
func BenchmarkCheck(b *testing.B) {
	table := New()
	for i := range 10_000 {
		table.Add(&Purge{Scope: Scope(i % int(Site)), Tag: fmt.Sprint(i), Keys: []store.Key{store.Key(fmt.Sprintf("shop http://shop.test/%d/", i))}}, began)
	}
	r := response(table, "shop http://shop.test/a/b/c", []string{"all", "t"}, nil)
	b.Run("all kinds", func(b *testing.B) {
		for b.Loop() {
			r.SetChecked(1)
			if !table.Current(r) {
				b.Fatal("purged")
			}
		}
	})
	b.Run("nothing new", func(b *testing.B) {
		for b.Loop() {
			table.Current(r)
		}
	})
}
