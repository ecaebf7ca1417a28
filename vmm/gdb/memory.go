package gdb

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/wherry/wherry/vmm/phys"
)

// parseRange reads "address,length". The length is bounded by what a packet has room for.
func parseRange(s string) (va uint64, n int, valid bool) {
	a, l, has := strings.Cut(s, ",")
	va, err := strconv.ParseUint(a, 16, 64)
	size, err2 := strconv.ParseUint(l, 16, 32)
	return va, int(size), has && err == nil && err2 == nil && size <= packetMax
}

// readMemory is m: as much as can be read from the address on.
func (c *conn) readMemory(s string) []byte {
	va, n, valid := parseRange(s)
	if !valid {
		return bad
	}
	n = min(n, packetMax/2)
	b := make([]byte, 0, n)
	for len(b) < n {
		at := va + uint64(len(b))
		part := b[len(b):min(n, len(b)+phys.PageSize-int(at%phys.PageSize))]
		if c.target.ReadMemory(at, part) != nil {
			break
		}
		b = b[:len(b)+len(part)]
	}
	if len(b) == 0 && n > 0 {
		return noMemory
	}
	return []byte(hex.EncodeToString(b))
}

func (c *conn) writeMemory(s string) []byte {
	where, text, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(text)
	if err != nil {
		return bad
	}
	return c.write(where, b)
}

func (c *conn) writeBinary(s string) []byte {
	where, bytes, _ := strings.Cut(s, ":")
	return c.write(where, []byte(bytes))
}

func (c *conn) write(where string, b []byte) []byte {
	va, n, valid := parseRange(where)
	switch {
	case !valid || n != len(b):
		return bad
	case n > 0 && c.target.WriteMemory(va, b) != nil:
		return noMemory
	}
	return ok
}
