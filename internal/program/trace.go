package program

import (
	"fmt"
	"io"

	"github.com/wherry/wherry/vmm/linux/trace"
)

// Tracer prints what a program does, a line each, as strace does.
func Tracer(w io.Writer) func(trace.Event) {
	return func(e trace.Event) { fmt.Fprintln(w, e) }
}
