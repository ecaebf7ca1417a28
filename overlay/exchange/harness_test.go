package exchange_test

import (
	"io"
	"log"
	"testing"
	"time"
)

var quiet = log.New(io.Discard, "", 0)

// waitUntil waits for what another goroutine does at its own pace.
func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it doesn't come")
		}
	}
}
