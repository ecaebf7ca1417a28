package field

import (
	"strconv"
	"testing"
)

func BenchmarkParseCacheControl(b *testing.B) {
	for _, line := range []string{
		"max-age=3600",
		`public, max-age=3600, s-maxage=60, stale-while-revalidate=30, no-cache="Set-Cookie"`,
	} {
		b.Run(strconv.Itoa(len(line)), func(b *testing.B) {
			lines := []string{line}
			b.ReportAllocs()
			for b.Loop() {
				ParseCacheControl(lines)
			}
		})
	}
}
