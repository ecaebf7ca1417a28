package compute

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wherry/wherry/vmm/backend"
)

// A set of programs takes the place of all others at once, or, when it is dropped or one of it can't be used, of none.
func TestPrepare(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		prepare := func(all ...Program) (*Change, error) { return h.Prepare(context.Background(), all) }
		named := func(name, say string) Program {
			p := guest(t)
			p.Name, p.Env = name, append(p.Env, "SAY="+say)
			return p
		}
		c, err := prepare(named("a", "one "), named("b", "one "))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := get(h, "a", "/count"); err == nil {
			t.Error("a program answers that is only prepared")
		}
		c.Commit(func() { mustGet(t, h, "b", "/count", "one 1") })
		mustGet(t, h, "a", "/count", "one 1")

		if c, err = prepare(named("a", "two ")); err != nil {
			t.Fatal(err)
		}
		if err := c.Drop(); err != nil {
			t.Error(err)
		}
		mustGet(t, h, "a", "/count", "one 1")
		mustGet(t, h, "b", "/count", "one 1")

		bad := named("b", "")
		bad.Env = append(bad.Env, "START=fail")
		_, err = prepare(named("a", "two "), bad)
		var d *DeployError
		if !errors.As(err, &d) || d.Name != "b" || !strings.Contains(err.Error(), "no luck at the start") {
			t.Errorf("%v, want that b can't be used, and what it said", err)
		}
		mustGet(t, h, "a", "/count", "one 1")

		if c, err = prepare(named("a", "one ")); err != nil || !c.Reports()["a"].Unchanged {
			t.Fatalf("%v, %v; want a unchanged", c, err)
		}
		c.Commit(func() { mustGet(t, h, "b", "/count", "one 1") })
		if _, err := get(h, "b", "/count"); err == nil || !strings.Contains(err.Error(), `no program "b"`) {
			t.Errorf("a program that isn't in the set any more: %v", err)
		}
		if m := h.Metrics(); len(m) != 1 || m["a"].Calls < 3 {
			t.Errorf("counts %+v; want those of a, from its first deployment on", m)
		}
	})
}
