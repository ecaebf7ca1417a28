package h2

import (
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// What is sent is encoded without the dynamic table (RFC 7541): names of the static table by their index, all else as literals
// that aren't indexed, in Huffman's code where that is shorter. So a block is good for every connection, at any time.

// AppendStatus appends :status, which begins a response's header block.
func AppendStatus(dst []byte, status int) []byte {
	switch status { // RFC 7541 appendix A
	case 200:
		return append(dst, 0x80|8)
	case 204:
		return append(dst, 0x80|9)
	case 206:
		return append(dst, 0x80|10)
	case 304:
		return append(dst, 0x80|11)
	case 400:
		return append(dst, 0x80|12)
	case 404:
		return append(dst, 0x80|13)
	case 500:
		return append(dst, 0x80|14)
	}
	var digits [20]byte
	return AppendValue(appendInt(dst, 4, 0, 8), strconv.AppendInt(digits[:0], int64(status), 10))
}

// AppendField appends a field, whose name must be in lower case.
func AppendField(dst []byte, name, value string) []byte {
	return appendText(AppendFieldName(dst, name), value)
}

// AppendLines appends the lines of a field, whose name may be in any case. What can't be sent in HTTP/2 is left out.
func AppendLines(dst []byte, name string, values []string) []byte {
	name = strings.ToLower(name)
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade": // RFC 9113 §8.2.2
		return dst
	}
	if !validName(name, inName) {
		return dst
	}
	for _, v := range values {
		v = strings.Trim(v, " \t")
		if ok, _ := checkValue(v); ok {
			dst = AppendField(dst, name, v)
		}
	}
	return dst
}

// AppendFieldName appends the beginning of a field (§6.2.2); AppendValue has to follow.
func AppendFieldName(dst []byte, name string) []byte {
	if i := staticIndex(name); i > 0 {
		return appendInt(dst, 4, 0, i)
	}
	return appendText(append(dst, 0), name)
}

// AppendValue appends the value of a field, not in Huffman's code: for what is written once.
func AppendValue[T string | []byte](dst []byte, value T) []byte {
	return append(appendInt(dst, 7, 0, uint64(len(value))), value...)
}

// appendText appends a string literal (§5.2).
func appendText(dst []byte, s string) []byte {
	if n := hpack.HuffmanEncodeLength(s); n < uint64(len(s)) {
		return hpack.AppendHuffmanString(appendInt(dst, 7, 0x80, n), s)
	}
	return append(appendInt(dst, 7, 0, uint64(len(s))), s...)
}

// appendInt appends v as an integer with a prefix of bits bits, after the bits of first (§5.1).
func appendInt(dst []byte, bits uint, first byte, v uint64) []byte {
	limit := uint64(1)<<bits - 1
	if v < limit {
		return append(dst, first|byte(v))
	}
	dst = append(dst, first|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

// staticIndex returns the index of a name of the static table (RFC 7541 appendix A), 0 if it has none.
func staticIndex(name string) uint64 {
	switch name {
	case ":status":
		return 8
	case "accept-charset":
		return 15
	case "accept-encoding":
		return 16
	case "accept-language":
		return 17
	case "accept-ranges":
		return 18
	case "accept":
		return 19
	case "access-control-allow-origin":
		return 20
	case "age":
		return 21
	case "allow":
		return 22
	case "authorization":
		return 23
	case "cache-control":
		return 24
	case "content-disposition":
		return 25
	case "content-encoding":
		return 26
	case "content-language":
		return 27
	case "content-length":
		return 28
	case "content-location":
		return 29
	case "content-range":
		return 30
	case "content-type":
		return 31
	case "cookie":
		return 32
	case "date":
		return 33
	case "etag":
		return 34
	case "expect":
		return 35
	case "expires":
		return 36
	case "from":
		return 37
	case "host":
		return 38
	case "if-match":
		return 39
	case "if-modified-since":
		return 40
	case "if-none-match":
		return 41
	case "if-range":
		return 42
	case "if-unmodified-since":
		return 43
	case "last-modified":
		return 44
	case "link":
		return 45
	case "location":
		return 46
	case "max-forwards":
		return 47
	case "proxy-authenticate":
		return 48
	case "proxy-authorization":
		return 49
	case "range":
		return 50
	case "referer":
		return 51
	case "refresh":
		return 52
	case "retry-after":
		return 53
	case "server":
		return 54
	case "set-cookie":
		return 55
	case "strict-transport-security":
		return 56
	case "transfer-encoding":
		return 57
	case "user-agent":
		return 58
	case "vary":
		return 59
	case "via":
		return 60
	case "www-authenticate":
		return 61
	}
	return 0
}
