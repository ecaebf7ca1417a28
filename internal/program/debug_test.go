package program

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDebugListensHereAlone(t *testing.T) {
	l, err := listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if host := l.Addr().String(); !strings.HasPrefix(host, "127.0.0.1:") {
		t.Errorf("it listens at %s", host)
	}
	if _, err := listen("1234"); err == nil || !strings.Contains(err.Error(), "--gdb") {
		t.Error(err)
	}
}

// TestDebugOnKVM has a program that waits for gdb on KVM, or is refused with what to do.
func TestDebugOnKVM(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("gcc", "-static", "-o", file, "-x", "c", "-")
	cmd.Stdin = strings.NewReader("int main(void) { return 0; }")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("no program: %v %s", err, text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := writer(func(b []byte) (int, error) {
		if strings.Contains(string(b), "waiting for gdb") {
			cancel()
		}
		return len(b), nil
	})
	_, err := Debug(ctx, Options{Machine: "kvm", Program: file}, Streams{In: strings.NewReader(""), Out: io.Discard, Err: said}, "127.0.0.1:0")
	if !errors.Is(err, context.Canceled) && (err == nil || !strings.Contains(err.Error(), "--machine emulator") && !strings.Contains(err.Error(), "/dev/kvm")) {
		t.Error(err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
