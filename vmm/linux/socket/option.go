package socket

import (
	"encoding/binary"
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// kernelOptions are answered, and can't be set.
func (t *Net) kernelOption(s *Socket, name int) (uint32, bool) {
	switch name {
	case abi.SO_TYPE:
		return abi.SOCK_STREAM, true
	case abi.SO_DOMAIN:
		return uint32(s.family), true
	case abi.SO_PROTOCOL:
		if s.family == abi.AF_UNIX {
			return 0, true
		}
		return abi.IPPROTO_TCP, true
	case abi.SO_ACCEPTCONN:
		if s.now.status == listening {
			return 1, true
		}
		return 0, true
	case abi.SO_ERROR:
		if s.now.reset {
			t.ledger.Keep(&s.kept, s)
			s.now.reset = false
			return uint32(abi.ECONNRESET), true
		}
		return 0, true
	}
	return 0, false
}

// SetOption is setsockopt. What is set is told by Option; SO_REUSEADDR and IPV6_V6ONLY do what they say, others nothing.
func (t *Net) SetOption(s *Socket, level, name int, value []byte) abi.Errno {
	switch {
	case !s.known(level, name):
		return abi.ENOPROTOOPT
	case len(value) < 4 || len(value) > 16:
		return abi.EINVAL
	}
	if _, fixed := t.kernelOption(s, name); fixed && level == abi.SOL_SOCKET {
		return abi.ENOPROTOOPT
	}
	t.ledger.Keep(&s.kept, s)
	i := slices.IndexFunc(s.now.options, func(o option) bool { return o.level == level && o.name == name })
	switch {
	case i >= 0:
		s.now.options[i].value = string(value)
	case len(s.now.options) == optionMax:
		return abi.ENOMEM
	default:
		s.now.options = append(s.now.options, option{level, name, string(value)})
	}
	return 0
}

// Option is getsockopt; the caller cuts it to the program's buffer. SO_PEERCRED is the process with the number pid.
func (t *Net) Option(s *Socket, level, name, pid int) ([]byte, abi.Errno) {
	if !s.known(level, name) {
		return nil, abi.ENOPROTOOPT
	}
	word := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	if level == abi.SOL_SOCKET {
		if v, ok := t.kernelOption(s, name); ok {
			return word(v), 0
		}
		if name == abi.SO_PEERCRED {
			return append(word(uint32(pid)), make([]byte, 8)...), 0
		}
	}
	for _, o := range s.now.options {
		if o.level == level && o.name == name {
			return []byte(o.value), 0
		}
	}
	switch {
	case level == abi.SOL_SOCKET && (name == abi.SO_SNDBUF || name == abi.SO_RCVBUF):
		return word(bufferSize), 0
	case level == abi.SOL_SOCKET && name == abi.SO_LINGER:
		return make([]byte, 8), 0
	case level == abi.SOL_SOCKET && (name == abi.SO_RCVTIMEO || name == abi.SO_SNDTIMEO):
		return make([]byte, 16), 0
	}
	return word(0), 0
}

func (s *Socket) known(level, name int) bool {
	switch level {
	case abi.SOL_SOCKET:
		return name > 0 && name <= abi.SO_INCOMING_CPU
	case abi.IPPROTO_TCP:
		return s.family != abi.AF_UNIX && name > 0 && name <= abi.TCP_FASTOPEN && name != abi.TCP_INFO
	case abi.IPPROTO_IP:
		return s.family != abi.AF_UNIX && name > 0 && name < 64
	case abi.IPPROTO_IPV6:
		return s.family == abi.AF_INET6 && name > 0 && name < 128
	}
	return false
}

func (s *Socket) flag(level, name int) bool {
	for _, o := range s.now.options {
		if o.level == level && o.name == name {
			return binary.LittleEndian.Uint32([]byte(o.value)) != 0
		}
	}
	return false
}
