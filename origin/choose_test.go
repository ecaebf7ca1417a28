package origin

import (
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func none(int) bool { return false }

func letters(c *chooser, now time.Time, picks int) string {
	var b strings.Builder
	for range picks {
		b.WriteByte("abcdefgh"[c.pick(now, none).index])
	}
	return b.String()
}

func TestPickByWeight(t *testing.T) {
	tests := []struct {
		name    string
		members []member
		want    string
	}{
		{"one", []member{{weight: 1}}, "aaaa"},
		{"equal", []member{{weight: 1}, {weight: 1}}, "ababab"},
		{"spread evenly", []member{{weight: 5}, {weight: 1}, {weight: 1}}, "aabacaa" + "aabacaa"},
		{"backups wait", []member{{weight: 1}, {weight: 9, backup: true}}, "aaaa"},
		{"backup when none else", []member{{weight: 1, health: health{down: true}}, {weight: 9, backup: true}}, "bbbb"},
		{
			"backups by weight",
			[]member{{weight: 1, health: health{down: true}}, {weight: 2, backup: true}, {weight: 1, backup: true}},
			"bcbbcb",
		},
		{"the sick are left out", []member{{weight: 1}, {weight: 8, health: health{down: true}}, {weight: 1}}, "acacac"},
		{
			"failed longest ago",
			[]member{
				{weight: 9, health: health{down: true, failedAt: epoch}},
				{weight: 1, health: health{down: true, failedAt: epoch.Add(-time.Second)}},
			},
			"bbb",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &chooser{members: tt.members}
			if got := letters(c, epoch, len(tt.want)); got != tt.want {
				t.Errorf("picked %s, want %s", got, tt.want)
			}
		})
	}
}

func TestPickSkipsTheTried(t *testing.T) {
	c := &chooser{members: []member{{weight: 1}, {weight: 1}, {weight: 1, backup: true}, {weight: 1, health: health{down: true}}}}
	var order strings.Builder
	tried := map[int]bool{}
	for {
		p := c.pick(epoch, func(i int) bool { return tried[i] })
		if p.index < 0 {
			break
		}
		tried[p.index] = true
		order.WriteByte("abcd"[p.index])
	}
	if order.String() != "abcd" {
		t.Errorf("order %s, want abcd: the healthy, then the backup, then the one that is down", order.String())
	}
}

func TestPickExplainsItself(t *testing.T) {
	c := &chooser{members: []member{{weight: 2}, {weight: 1}, {weight: 3, backup: true}}}
	if got := c.pick(epoch, none).String(); got != "weight 2 of 3" {
		t.Error(got)
	}
	c.members[0].health.down, c.members[1].health.down = true, true
	if got := c.pick(epoch, none).String(); got != "backup, no other is healthy, weight 3 of 3" {
		t.Error(got)
	}
	c.members[2].health = health{out: true, until: epoch.Add(time.Second)}
	c.members[0].health.failedAt, c.members[1].health.failedAt = epoch, epoch
	if got := c.pick(epoch, none).String(); got != "none is healthy, failed longest ago" {
		t.Error(got)
	}
}
