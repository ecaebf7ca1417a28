package amend

import (
	"errors"
	"maps"
	"testing"
)

func same(t *testing.T, what, got string, err error, want string) {
	t.Helper()
	if err != nil || got != want {
		t.Errorf("%s: %v, got\n%s\nwant\n%s", what, err, got, want)
	}
}

// A program is added, and changed where something is given; the rest of the settings stays.
func TestSetProgram(t *testing.T) {
	got, err := SetProgram("", "hello", Program{Image: "sha256:aa"})
	same(t, "nothing before", got, err, "programs:\n  hello:\n    image: sha256:aa\n")
	got, err = SetProgram("# The shop.\nzone: cdn.test # ours\nprograms:\n  hello: {image: 'sha256:aa', memory: 64MiB, env: {A: \"1\", B: \"2\"}}\n", "hello",
		Program{Image: "sha256:bb", Isolation: "instance", Args: []string{"-v", "3"}, Env: [][2]string{{"B", "yes"}, {"C", "a b"}}})
	same(t, "one before", got, err, "# The shop.\nzone: cdn.test # ours\nprograms:\n"+
		"  hello: {image: 'sha256:bb', memory: 64MiB, env: {A: \"1\", B: yes, C: a b}, isolation: instance, args: [-v, \"3\"]}\n")
	archive, err := SetProgram("programs:\n  hello:\n    image: sha256:aa\n", "hello", Program{Image: "sha256:bb", Executable: "/usr/sbin/nginx"})
	same(t, "an archive", archive, err, "programs:\n  hello:\n    image: sha256:bb\n    executable: /usr/sbin/nginx\n")
	got, err = SetProgram(archive, "hello", Program{Image: "sha256:cc"})
	same(t, "another archive", got, err, "programs:\n  hello:\n    image: sha256:cc\n    executable: /usr/sbin/nginx\n")
	got, err = SetProgram(archive, "hello", Program{Image: "sha256:cc", Plain: true})
	same(t, "a program after an archive", got, err, "programs:\n  hello:\n    image: sha256:cc\n")
	if _, err := SetProgram("programs: [a]\n", "hello", Program{}); err == nil {
		t.Error("a list of programs is taken")
	}
	if _, err := SetProgram("a: [", "hello", Program{}); err == nil {
		t.Error("what is no YAML is taken")
	}
}

// Secrets are set beside others, and removed one by one; the last one takes its mapping with it.
func TestSecrets(t *testing.T) {
	got, err := SetProgram("programs:\n  hello:\n    image: sha256:aa\n", "hello", Program{Secrets: [][2]string{{"A", "secret:x"}}})
	same(t, "the first", got, err, "programs:\n  hello:\n    image: sha256:aa\n    secrets:\n      A: secret:x\n")
	two, err := SetProgram(got, "hello", Program{Secrets: [][2]string{{"A", "secret:y"}, {"B", "secret:z"}}})
	same(t, "another", two, err, "programs:\n  hello:\n    image: sha256:aa\n    secrets:\n      A: secret:y\n      B: secret:z\n")
	if all, err := Secrets(two, "hello"); err != nil || !maps.Equal(all, map[string]string{"A": "secret:y", "B": "secret:z"}) {
		t.Errorf("%v, %v", all, err)
	}
	one, err := RemoveSecret(two, "hello", "A")
	same(t, "without A", one, err, "programs:\n  hello:\n    image: sha256:aa\n    secrets:\n      B: secret:z\n")
	none, err := RemoveSecret(one, "hello", "B")
	same(t, "without B", none, err, "programs:\n  hello:\n    image: sha256:aa\n")
	for _, name := range []string{"hello", "other"} {
		if _, err := RemoveSecret(none, name, "B"); !errors.Is(err, ErrNoSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A program is what it was in earlier settings, all of it and nothing else.
func TestRestoreProgram(t *testing.T) {
	before := "zone: old.test\nprograms:\n  hello:\n    image: sha256:aa\n"
	now := "zone: new.test\nprograms:\n  hello:\n    image: sha256:bb\n    memory: 1GiB\n  other:\n    image: sha256:cc\n"
	got, err := RestoreProgram(now, "hello", before)
	same(t, "restored", got, err, "zone: new.test\nprograms:\n  hello:\n    image: sha256:aa\n  other:\n    image: sha256:cc\n")
	was, err := OfProgram(before, "hello")
	same(t, "before", was, err, "image: sha256:aa\n")
	if _, err := OfProgram("zone: cdn.test\n", "hello"); !errors.Is(err, ErrNoProgram) {
		t.Error(err)
	}
	if _, err := RestoreProgram(now, "third", before); !errors.Is(err, ErrNoProgram) {
		t.Error(err)
	}
}

// A rule for a program comes before all others, under a name of its own; a rule that is there gets the paths that it lacks.
func TestSetRule(t *testing.T) {
	got, err := SetRule("name: shop\n", "hello", []string{"/a", "/a/*"})
	same(t, "no rules", got, err, "name: shop\nrules:\n  - name: hello\n    match:\n      paths: [/a, /a/*]\n    program: hello\n")
	again, err := SetRule(got, "hello", []string{"/a", "/b"})
	same(t, "its rule", again, err, "name: shop\nrules:\n  - name: hello\n    match:\n      paths: [/a, /a/*, /b]\n    program: hello\n")
	got, err = SetRule("name: shop\nrules:\n  - name: hello # not it\n    refuse: 403\n", "hello", []string{"/*"})
	same(t, "its name is taken", got, err, "name: shop\nrules:\n  - name: hello-2\n    match:\n      paths: [/*]\n    program: hello\n  - name: hello # not it\n    refuse: 403\n")
	if _, err := SetRule("rules: {a: b}\n", "hello", nil); err == nil {
		t.Error("rules that are no list are taken")
	}
}
