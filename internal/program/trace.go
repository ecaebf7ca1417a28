package program

import (
	"fmt"
	"io"

	"github.com/wherry/wherry/vmm/linux"
)

// Tracer prints what a program does, a line each, as strace does.
func Tracer(w io.Writer) func(linux.Event) {
	return func(e linux.Event) { fmt.Fprintln(w, e) }
}
