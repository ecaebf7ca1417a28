package file

import "testing"

func TestSmoke(t *testing.T) {
	m, err := NewImage(ImageOptions{Program: []byte("hi")})
	if err != nil {
		t.Fatal(err)
	}
	tb, err := New(Options{Image: m})
	if err != nil {
		t.Fatal(err)
	}
	fd, e := tb.Open(-100, "/tmp/a", 0o102, 0o644)
	t.Log(fd, e)
	n, e := tb.Write(fd, []byte("hello"))
	t.Log(n, e)
	s := tb.Checkpoint()
	tb.Write(fd, []byte("world"))
	if err := tb.Restore(s); err != nil {
		t.Fatal(err)
	}
	b, e := tb.Snapshot(fd, 0, 100)
	t.Log(string(b), e)
	t2, _ := New(Options{Image: m})
	if err := t2.Restore(s); err != nil {
		t.Fatal(err)
	}
	b, e = t2.Snapshot(fd, 0, 100)
	t.Log(string(b), e)
}
