package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	logMax       = 20 // records in a logWindow; an etcd without its disk or its peers says the same thing hundreds of times
	logWindow    = 10 * time.Second
	logValueMax  = 512 // bytes
	closeMessage = "failed to close Raft storage"
)

// zapLogger brings what etcd says into our log, from warnings on. Where etcd would end the process, only the goroutine ends that can't go
// on: this node may have other work than the store's.
func (s *Store) zapLogger() *zap.Logger {
	return zap.New(&core{log: s.o.Log.With("part", "store"), limit: &limit{now: time.Now}},
		zap.WithFatalHook(fatalHook{s}), zap.WithPanicHook(fatalHook{s}))
}

type fatalHook struct{ s *Store }

func (h fatalHook) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New(ce.Message)
	for _, f := range fields {
		if cause, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			err = fmt.Errorf("%s: %w", ce.Message, cause)
		}
	}
	h.s.fail(explain(err))
	if ce.Message == closeMessage { // what comes after it lets others know that the member has ended
		return
	}
	runtime.Goexit()
}

// core is where zap writes to.
type core struct {
	log    *slog.Logger
	fields []zapcore.Field
	limit  *limit
}

var _ zapcore.Core = (*core)(nil)

func (c *core) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{c.log, append(append([]zapcore.Field(nil), c.fields...), fields...), c.limit}
}

func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) && e.Message != closedListener {
		return ce.AddCore(e, c)
	}
	return ce
}

// closedListener is what etcd says whenever it is closed: its socket can't accept any more.
const closedListener = "setting up serving from embedded etcd failed."

func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	ok, left := c.limit.allow()
	if !ok && e.Level < zapcore.PanicLevel {
		return nil
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(append([]zapcore.Field(nil), c.fields...), fields...) {
		f.AddTo(enc)
	}
	args := make([]any, 0, 2*len(enc.Fields)+2)
	for key, value := range enc.Fields {
		text := fmt.Sprint(value)
		args = append(args, key, text[:min(len(text), logValueMax)])
	}
	if left > 0 {
		args = append(args, "left_out", left)
	}
	level := slog.LevelWarn
	if e.Level > zapcore.WarnLevel {
		level = slog.LevelError
	}
	c.log.Log(context.Background(), level, e.Message, args...)
	return nil
}

func (c *core) Sync() error { return nil }

// limit counts records.
type limit struct {
	now func() time.Time

	mu    sync.Mutex // protects what follows
	since time.Time
	n     int
	left  int // out, since the last one that was written
}

// allow says whether one more may be written, and how many weren't before it.
func (l *limit) allow() (ok bool, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.since) >= logWindow {
		l.since, l.n = now, 0
	}
	if l.n >= logMax {
		l.left++
		return false, 0
	}
	l.n++
	left, l.left = l.left, 0
	return true, left
}
