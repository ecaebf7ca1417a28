package console

import (
	"strings"
	"testing"
)

// What people write for a forward is understood in each of its forms, and what can't be meant is refused with what to write.
func TestForwardForms(t *testing.T) {
	loop := forward{listen: "127.0.0.1:5432", node: "lisbon-1", target: "127.0.0.1:5432"}
	db := forward{listen: "127.0.0.1:5432", tunnel: "db", target: "db"}
	for _, c := range []struct {
		args string // as the shell has taken them apart, with | between
		want forward
		no   string
	}{
		{args: "5432|lisbon-1:5432", want: loop},
		{args: "5432:lisbon-1:5432", want: loop},
		{args: "127.0.0.1:5432:lisbon-1:5432", want: loop},
		{args: "5432 -> lisbon-1:5432", want: loop},
		{args: "5432->lisbon-1:5432", want: loop},
		{args: "5432|→|lisbon-1:5432", want: loop},
		{args: "5432|->|lisbon-1:5432", want: loop},
		{args: "[::1]:1:lisbon-1:5432", want: forward{listen: "[::1]:1", node: "lisbon-1", target: "127.0.0.1:5432"}},
		{args: "0.0.0.0:8088|lisbon-1/db.internal:5432", want: forward{listen: "0.0.0.0:8088", node: "lisbon-1", target: "db.internal:5432"}},
		{args: "5432|lisbon-1/[2001:db8::7]:5432", want: forward{listen: "127.0.0.1:5432", node: "lisbon-1", target: "[2001:db8::7]:5432"}},
		{args: "5432|db", want: db},
		{args: "5432:db", want: db},
		{args: "5432 → tunnel://db", want: db},
		{args: "5432:tunnel://db", want: db},
		{args: "5432|-", no: "redirection"},
		{args: "5432", no: "write where to listen"},
		{args: "", no: "write where to listen"},
		{args: "5432|a|b", no: "write where to listen"},
		{args: "x|lisbon-1:5432", no: "isn't where one can listen"},
		{args: "5432|lisbon-1:0", no: "isn't a node and a port"},
		{args: "5432|lisbon-1/10.0.0.1", no: "isn't a node and a port"},
		{args: "5432|tunnel://d_b", no: "isn't the name of a tunnel"},
	} {
		got, err := parseForward(Arrows(strings.Split(c.args, "|")))
		switch {
		case c.no == "" && (err != nil || got != c.want):
			t.Errorf("%q: %+v, %v", c.args, got, err)
		case c.no != "" && (err == nil || !strings.Contains(err.Error(), c.no)):
			t.Errorf("%q: %+v, %v", c.args, got, err)
		}
	}
}
