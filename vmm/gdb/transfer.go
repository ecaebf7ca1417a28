package gdb

import (
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// transfer is qXfer: "object:read:annex:offset,length".
func (c *conn) transfer(s string) []byte {
	f := strings.SplitN(s, ":", 4)
	if len(f) != 4 || f[1] != "read" {
		return nil
	}
	off, n, valid := parseRange(f[3])
	if !valid {
		return bad
	}
	var data []byte
	switch {
	case f[0] == "features" && f[2] == "target.xml":
		data = targetXML()
	case f[0] == "features":
		return []byte("E00") // no such annex
	case f[0] == "auxv":
		data = c.target.Auxv()
	case f[0] == "exec-file":
		data = []byte(c.fileName())
	case f[0] == "threads":
		data = c.threadsXML()
	default:
		return nil
	}
	n = min(n, packetMax/2-1) // any byte may have to be escaped
	if off >= uint64(len(data)) {
		return []byte("l")
	}
	data = data[off:]
	if n < len(data) {
		return append([]byte("m"), data[:n]...)
	}
	return append([]byte("l"), data...)
}

// fileName is what gdb asks for when it looks for the program.
func (c *conn) fileName() string { return "/" + path.Base(c.target.Name()) }

// The error numbers of vFile (GDB manual, "Errno Values").
const (
	fileNotFound = "F-1,2"
	fileBadFD    = "F-1,9"
	fileInvalid  = "F-1,22"
	fileNoSys    = "F-1,58"
)

// fileFD is the descriptor of the program's file, which is the only one there is; filesMax bounds how often it is open.
const (
	fileFD   = 3
	filesMax = 64
)

// file is vFile: gdb reads the program's file, whose symbols it wants.
func (c *conn) file(s string) []byte {
	call, args, _ := strings.Cut(s, ":")
	switch call {
	case "setfs":
		return []byte("F0")
	case "open":
		name, _, _ := strings.Cut(args, ",")
		b, err := hex.DecodeString(name)
		if err != nil || string(b) != c.fileName() || c.files >= filesMax {
			return []byte(fileNotFound)
		}
		c.files++
		return fmt.Appendf(nil, "F%x", fileFD)
	case "close":
		if args != fmt.Sprintf("%x", fileFD) || c.files == 0 {
			return []byte(fileBadFD)
		}
		c.files--
		return []byte("F0")
	case "pread":
		return c.filePread(args)
	case "fstat":
		return c.fileStat(args)
	case "readlink":
		return []byte(fileInvalid)
	}
	return []byte(fileNoSys)
}

func (c *conn) filePread(args string) []byte {
	f := strings.Split(args, ",")
	if len(f) != 3 || f[0] != fmt.Sprintf("%x", fileFD) || c.files == 0 {
		return []byte(fileBadFD)
	}
	n, err := strconv.ParseUint(f[1], 16, 32)
	off, err2 := strconv.ParseUint(f[2], 16, 64)
	if err != nil || err2 != nil {
		return []byte(fileInvalid)
	}
	off = min(off, uint64(len(c.program)))
	b := c.program[off:]
	b = b[:min(uint64(len(b)), n, packetMax/2-16)]
	return append(fmt.Appendf(nil, "F%x;", len(b)), b...)
}

// fileStat is a struct stat of the File-I/O protocol, of which gdb looks at st_size: 4-byte numbers, big-endian, and 8 bytes of size at 28.
func (c *conn) fileStat(args string) []byte {
	const statSize, sizeAt, modeAt, mode = 64, 28, 8, 0o100555
	if args != fmt.Sprintf("%x", fileFD) || c.files == 0 {
		return []byte(fileBadFD)
	}
	var b [statSize]byte
	for i, v := range map[int]uint64{modeAt: mode, sizeAt + 4: uint64(len(c.program))} {
		b[i], b[i+1], b[i+2], b[i+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
	}
	return append(fmt.Appendf(nil, "F%x;", statSize), b[:]...)
}
