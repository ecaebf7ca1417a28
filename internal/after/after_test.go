package after_test

import (
	"context"
	"testing"

	"github.com/wherry/wherry/internal/after"
)

// TestEndWaits ends while the function runs: it has returned then.
func TestEndWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	begun, goOn, returned := make(chan struct{}), make(chan struct{}), false
	end := after.Func(ctx, func() {
		close(begun)
		<-goOn
		returned = true
	})
	cancel()
	<-begun
	close(goOn)
	end()
	if !returned {
		t.Error("the function still runs")
	}
}

// TestEndBefore ends before the context does.
func TestEndBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	called := false
	after.Func(ctx, func() { called = true })()
	cancel()
	if called {
		t.Error("the function was called")
	}
}
