package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/garbage"
	"github.com/wherry/wherry/internal/network"
	"github.com/wherry/wherry/internal/programs"
	"github.com/wherry/wherry/kv"
	"github.com/wherry/wherry/logs"
)

// state is what a process keeps in its folder: the local CA, the operator's token and the secret of HTTP/3.
type state struct {
	dir   string
	ca    *certs.CA
	token string
	quic  []byte
}

// openState makes or opens the state in dir.
func openState(dir string) (*state, error) {
	dir, err := filepath.Abs(dir) // what is printed and shown of it is used in other folders
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w; choose another one with --dir", err)
	}
	ca, err := certs.OpenLocalCA(dir, time.Now())
	if err != nil {
		return nil, err
	}
	token, err := openSecret(filepath.Join(dir, "operator.token"), "operator's token")
	if err != nil {
		return nil, err
	}
	quic, err := openSecret(filepath.Join(dir, "quic.secret"), "secret of HTTP/3")
	if err != nil {
		return nil, err
	}
	return &state{dir: dir, ca: ca, token: token, quic: []byte(quic)}, nil
}

// openSecret reads a secret, which errors call what, or makes one that only this user can read.
func openSecret(path, what string) (string, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			return "", fmt.Errorf("%s: others can read the %s; run chmod 600 on it, or remove it to get a new one", path, what)
		}
		if token := strings.TrimSpace(string(data)); len(token) >= 32 {
			return token, nil
		}
		return "", fmt.Errorf("%s: no %s of at least 32 characters in it; remove the file to get a new one", path, what)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	token := hex.EncodeToString(secret[:])
	if err := certs.WriteSecret(path, []byte(token+"\n")); err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	return token, nil
}

// process is what `wherry dev` and `wherry edge` have in common: they run a part of a network until they are told to stop.
type process struct {
	snapshot *config.Snapshot
	file     string // the configuration, beside which images of programs are
	state    *state
	options  network.Options // the doors and what else differs
	announce func(io.Writer) // prints the addresses
	// reload is called on SIGHUP; nil means that SIGHUP ends the process.
	reload func(*network.Network)
	access *logs.File // nil when the access log is no file
}

// serve runs p until a signal.
func (p *process) serve(stdout io.Writer, log *slog.Logger) error {
	registry := prometheus.NewRegistry()
	o := p.options
	o.Snapshot, o.Version, o.Token, o.QUIC, o.CA, o.Log, o.Registry = p.snapshot, versionText(), p.state.token, p.state.quic, p.state.ca, log, registry
	var err error
	if o.Access, err = p.openAccessLog(stdout, log, registry); err != nil {
		return err
	}
	o.Values = kv.OpenAnyway(kv.Options{Dir: filepath.Join(p.state.dir, kv.DirName), Node: "local", Log: log, Count: registry})
	if o.Programs, err = programs.New(programs.Options{
		File: p.file, State: p.state.dir, Memory: int64(p.snapshot.Memory.Programs), Log: log, Registry: registry, Monitor: monitorCommand, Values: o.Values.Handler(programs.Namespace),
	}); err != nil {
		o.Values.Close()
		return err
	}
	n, err := network.New(o)
	if err != nil {
		o.Values.Close()
		return errors.Join(err, o.Programs.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	served, end := context.WithCancel(context.Background())
	defer end()
	beside.Go(func() { _ = o.Values.Run(served) }) // until the last request has its answer
	beside.Go(func() { garbage.Bound(ctx, int64(p.snapshot.Memory.Cache)*int64(max(1, len(o.Edges)))) })
	signal.Ignore(syscall.SIGPIPE) // who reads our output may go; the requests go on
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	signalled := make(chan struct{})
	go func() {
		defer close(signalled)
		p.listen(ctx, stop, signals, n, log)
	}()

	entry, err := register(p.options.Portal, p.state.token)
	if err != nil {
		log.Warn("other wherry commands won't find this process by themselves", "error", err)
	}
	defer entry.remove()
	p.announce(stdout)
	err = n.Run(ctx, func() { fmt.Fprintln(stdout, "ready") })
	stop()
	<-signalled
	return err
}

// listen turns signals into a reload or the end; a second one while it drains ends the process at once.
func (p *process) listen(ctx context.Context, stop func(), signals <-chan os.Signal, n *network.Network, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			if s == syscall.SIGHUP && p.reload != nil {
				if p.access != nil {
					if err := p.access.Reopen(); err != nil {
						log.Error("access log not reopened; writing to the old file", "error", err)
					}
				}
				p.reload(n)
				continue
			}
			log.Info("stopping: requests in flight are finished first", "signal", s.String(), "within", p.snapshot.Limits.DrainTimeout)
			signal.Reset(syscall.SIGINT, syscall.SIGTERM)
			stop()
			return
		}
	}
}

// openAccessLog returns the writer of the access log as the configuration wants it.
func (p *process) openAccessLog(stdout io.Writer, log *slog.Logger, registry *prometheus.Registry) (*logs.Writer, error) {
	return p.openAccess(p.snapshot.Log.Access, stdout, log, registry)
}

func (p *process) openAccess(where string, stdout io.Writer, log *slog.Logger, registry *prometheus.Registry) (*logs.Writer, error) {
	var out io.Writer
	switch where {
	case "off":
		return nil, nil
	case "stdout":
		out = stdout
		if f, ok := stdout.(*os.File); ok {
			out = withDeadlines(f)
		}
	case "stderr":
		out = withDeadlines(os.Stderr)
	default:
		file, err := logs.OpenFile(where)
		if err != nil {
			return nil, fmt.Errorf("log.access: %w", err)
		}
		p.access, out = file, file
	}
	return logs.NewWriter(out, logs.Options{Log: log, Metrics: logs.NewMetrics(registry)}), nil
}

// withDeadlines returns f, or where f is a pipe another opening of it that knows deadlines: its reader may stop to read, and that
// must not keep the process from ending. The one that was inherited may be shared with other processes, so it stays as it is.
func withDeadlines(f *os.File) io.Writer {
	info, err := f.Stat()
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return f
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return f // no /proc here
	}
	return again
}

// newLog returns the log of the process itself.
func newLog(level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
	log.SetFlags(0)
	log.SetOutput(libraryLog{logger})
	return logger
}

// libraryLog takes what libraries print on their own, such as bytes that an origin sent unasked, to the debug level, and cuts it.
type libraryLog struct{ log *slog.Logger }

const libraryLineMax = 200

func (l libraryLog) Write(p []byte) (int, error) {
	l.log.Debug("library", "message", string(p[:min(len(p), libraryLineMax)]))
	return len(p), nil
}
