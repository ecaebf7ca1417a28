package linux

import (
	"fmt"
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/plain"
	"github.com/wherry/wherry/vmm/linux/trace"
)

func (p *Process) trace(e trace.Event) {
	if p.options.Trace != nil {
		p.options.Trace(e)
	}
}

// describe writes a call's arguments by its pattern: a letter each, d for a number, x for an address or flags, s for a text, b for bytes whose length is
// in the next argument, f for a descriptor of a directory.
func (p *Process) describe(pattern string, a *args) string {
	var out []string
	for i := range min(len(pattern), len(a)) {
		v := a[i]
		switch pattern[i] {
		case 'd':
			out = append(out, fmt.Sprint(int64(int32(v))))
		case 'l':
			out = append(out, fmt.Sprint(int64(v)))
		case 'f':
			if int32(v) == abi.AT_FDCWD {
				out = append(out, "AT_FDCWD")
			} else {
				out = append(out, fmt.Sprint(int32(v)))
			}
		case 's':
			s, e := p.space.Text(v, plain.PathMax)
			if e != 0 {
				out = append(out, fmt.Sprintf("%#x", v))
				continue
			}
			out = append(out, trace.Quote(s))
		case 'b':
			b := make([]byte, min(a[i+1], trace.TextMax+1))
			if p.space.CopyIn(b, v) != 0 {
				out = append(out, fmt.Sprintf("%#x", v))
				continue
			}
			out = append(out, trace.Quote(string(b)))
		default:
			out = append(out, fmt.Sprintf("%#x", v))
		}
	}
	return strings.Join(out, ", ")
}
