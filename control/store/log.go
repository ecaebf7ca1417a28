package store

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger brings what etcd says into our log: warnings and errors as they are, the rest not at all.
func zapLogger(log *slog.Logger) *zap.Logger {
	return zap.New(&core{log: log.With("part", "store")})
}

type core struct {
	log    *slog.Logger
	fields []zapcore.Field
}

var _ zapcore.Core = (*core)(nil)

func (c *core) Enabled(level zapcore.Level) bool { return level >= zapcore.ErrorLevel }

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{c.log, append(append([]zapcore.Field(nil), c.fields...), fields...)}
}

func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(append([]zapcore.Field(nil), c.fields...), fields...) {
		f.AddTo(enc)
	}
	args := make([]any, 0, 2*len(enc.Fields))
	for key, value := range enc.Fields {
		args = append(args, key, value)
	}
	c.log.Log(context.Background(), slog.LevelWarn, e.Message, args...)
	return nil
}

func (c *core) Sync() error { return nil }
