package after

import "context"

// Func has f called in a goroutine of its own once ctx is done. The caller calls end, once: then f isn't called any more, or has returned.
func Func(ctx context.Context, f func()) (end func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		f()
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}
