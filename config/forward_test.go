package config

import "testing"

// A node connects to what its list names and to nothing else.
func TestForwards(t *testing.T) {
	node, problems := ParseNode("f", []byte("overlay: {forward: [10.0.0.0/8:5432, db.internal:5432, 192.0.2.7:22, '[2001:db8::]/32:443', '[2001:db9::1]:80']}"))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, port string
		want       bool
	}{
		{"10.1.2.3", "5432", true},
		{"::ffff:10.1.2.3", "5432", true},
		{"10.1.2.3", "5433", false},
		{"11.1.2.3", "5432", false},
		{"db.internal", "5432", true},
		{"DB.internal.", "5432", true},
		{"x.db.internal", "5432", false},
		{"192.0.2.7", "22", true},
		{"192.0.2.8", "22", false},
		{"2001:db8::5", "443", true},
		{"2001:db9::1", "80", true},
		{"2001:db9::2", "80", false},
	} {
		if got := node.Overlay.Forwards(c.host, c.port); got != c.want {
			t.Errorf("%s at %s: %v", c.host, c.port, got)
		}
	}
	for _, bad := range []string{"10.0.0.0/8", "10.0.0.0/40:1", "a_b!:1", "2001:db8::1:80x", "db:0", ":1"} {
		if _, problems := ParseNode("f", []byte("overlay: {forward: ['"+bad+"']}")); problems.Err() == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
