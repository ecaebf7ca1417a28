package program

import (
	"io"
	"os"
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

// KVM is refused with what to do, or isn't here at all.
func TestDebugNeedsTheEmulator(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("\x7fELF"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		t.Skip("no /dev/kvm here")
	}
	_, err := Debug(t.Context(), Options{Machine: "kvm", Program: file}, Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, "127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "--machine emulator") && !strings.Contains(err.Error(), "/dev/kvm") {
		t.Error(err)
	}
}
