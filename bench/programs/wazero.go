package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// wazeroCalls has wazero's compiler run the Go function built for wasip1: once for all requests, and with an instance for each.
func wazeroCalls(ctx context.Context, wasm string, request []byte, kept, fresh int) (keptCalls, freshCalls times, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	code, err := os.ReadFile(wasm)
	if err != nil {
		return nil, nil, err
	}
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return nil, nil, err
	}
	compiled, err := r.CompileModule(ctx, code)
	if err != nil {
		return nil, nil, fmt.Errorf("compiling %s: %w", filepath.Base(wasm), err)
	}
	requests := &boundaries{request: request, left: kept}
	if err := instance(ctx, r, compiled, requests); err != nil {
		return nil, nil, err
	}
	for range fresh {
		before := threadTime()
		if err := instance(ctx, r, compiled, bytes.NewReader(request)); err != nil {
			return nil, nil, err
		}
		freshCalls = append(freshCalls, threadTime()-before)
	}
	return requests.calls, freshCalls, nil
}

func instance(ctx context.Context, r wazero.Runtime, compiled wazero.CompiledModule, in io.Reader) error {
	var out bytes.Buffer
	m, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStdin(in).WithStdout(&out).WithStderr(os.Stderr).WithSysWalltime().WithSysNanotime())
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(out.Bytes(), []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("wazero's instance answered %.60q", out.Bytes())
	}
	return m.Close(ctx)
}

// boundaries gives the same request again and again, and notes the CPU time between one and the next.
type boundaries struct {
	request []byte
	at      int
	left    int
	since   int64
	calls   times
}

func (b *boundaries) Read(p []byte) (int, error) {
	if b.at == 0 {
		now := threadTime()
		if b.since != 0 {
			b.calls = append(b.calls, now-b.since)
		}
		if b.left == 0 {
			return 0, io.EOF
		}
		b.left--
		b.since = now
	}
	n := copy(p, b.request[b.at:])
	if b.at += n; b.at == len(b.request) {
		b.at = 0
	}
	return n, nil
}
