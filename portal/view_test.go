package portal

import (
	"testing"
	"time"
)

func TestHeadline(t *testing.T) {
	for _, tt := range []struct {
		ready     bool
		up, nodes int
		want      string
		tone      tone
	}{
		{true, 0, 0, "There are no edges yet", waiting},
		{false, 1, 2, "The network is starting", waiting},
		{true, 1, 1, "The edge answers", calm},
		{true, 0, 1, "The edge does not answer", broken},
		{true, 2, 2, "All 2 edges answer", calm},
		{true, 1, 2, "1 of 2 edges does not answer", worried},
		{true, 2, 4, "2 of 4 edges do not answer", worried},
		{true, 0, 4, "None of the 4 edges answers", broken},
	} {
		if got, tone := headline(tt.ready, tt.up, tt.nodes); got != tt.want || tone != tt.tone {
			t.Errorf("headline(%v, %d, %d) = %q, %s; want %q, %s", tt.ready, tt.up, tt.nodes, got, tone, tt.want, tt.tone)
		}
	}
}

func TestTexts(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ got, want string }{
		{age(time.Time{}, noon), ""},
		{age(noon.Add(time.Second), noon), "0\u00a0s"},
		{age(noon.Add(-59999*time.Millisecond), noon), "59\u00a0s"},
		{age(noon.Add(-time.Hour), noon), "1\u00a0h"},
		{age(noon.Add(-72*time.Hour), noon), "3\u00a0days"},
		{countText(0), "0"},
		{countText(999), "999"},
		{countText(1000), "1,000"},
		{countText(1234567), "1,234,567"},
		{bytesText(1023), "1023 B"},
		{bytesText(1536), "1.5 KiB"},
		{bytesText(1<<20 - 1), "1.0 MiB"},
		{bytesText(256 << 20), "256 MiB"},
		{bytesText(1<<64 - 1), "16 EiB"},
		{percentText(0, 0), "–"},
		{percentText(0, 10), "0 %"},
		{percentText(1, 1000), "<1 %"},
		{percentText(999, 1000), "99.90 %"},
		{percentText(999_999, 1_000_000), "99.99 %"},
		{percentText(10, 10), "100 %"},
		{detail(0, 0, 0), "No site is configured."},
		{detail(1, 2, 2), "1 site, 2 origins, all failing."},
		{detail(2, 3, 1), "2 sites, 3 origins, 1 failing."},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
