package joint

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// Bytes counts what went each way.
type Bytes struct{ ToOrigin, ToClient atomic.Int64 }

// Joint is two connections that are joined.
type Joint struct {
	Client     io.WriteCloser
	FromClient io.Reader // of Client, and before that what was read already
	Origin     io.ReadWriteCloser
	Bytes      *Bytes

	moved atomic.Int64 // when a byte moved last: nanoseconds since began
	began time.Time
}

const bufferBytes = 16 << 10

// ErrNoHalfClose ends a joint whose other side can't be told that one side has finished.
var ErrNoHalfClose = errors.New("no half-close")

// Run carries bytes until both directions have ended, one has failed, nothing has moved for idle or ctx has ended, and says
// which it was. Its two goroutines are gone when it returns.
func (j *Joint) Run(ctx context.Context, idle time.Duration) (why string) {
	j.began = time.Now()
	done := make(chan error, 2)
	go func() { done <- j.carry(j.Origin, j.FromClient, &j.Bytes.ToOrigin) }()
	go func() { done <- j.carry(j.Client, j.Origin, &j.Bytes.ToClient) }()
	stop := func(reason string) {
		if why == "" {
			why = reason
			j.Client.Close()
			j.Origin.Close()
		}
	}
	timer := time.NewTimer(idle)
	defer timer.Stop()
	ended := ctx.Done()
	for open := 2; open > 0; {
		select {
		case err := <-done:
			if open--; err != nil {
				stop("closed")
			}
		case <-timer.C:
			quiet := time.Since(j.began) - time.Duration(j.moved.Load())
			if quiet >= idle {
				stop("idle")
			} else {
				timer.Reset(idle - quiet)
			}
		case <-ended:
			ended = nil
			stop("node stopped")
		}
	}
	if why == "" {
		why = "closed"
	}
	return why
}

// carry copies src to dst and passes the end of src on. A nil error means that the other direction may go on.
func (j *Joint) carry(dst io.Writer, src io.Reader, count *atomic.Int64) error {
	buf := make([]byte, bufferBytes)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			j.moved.Store(int64(time.Since(j.began)))
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
			count.Add(int64(n))
			j.moved.Store(int64(time.Since(j.began)))
		}
		if err == io.EOF {
			if c, ok := dst.(interface{ CloseWrite() error }); ok {
				return c.CloseWrite()
			}
			return ErrNoHalfClose
		}
		if err != nil {
			return err
		}
	}
}
