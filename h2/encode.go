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

// staticIndex returns the index of a name of the static table, 0 if it has none.
func staticIndex(name string) uint64 { return static[name] }

// static is the static table's names (RFC 7541 appendix A) with their first index. It is never written to.
var static = map[string]uint64{
	":status": 8, "accept-charset": 15, "accept-encoding": 16, "accept-language": 17, "accept-ranges": 18, "accept": 19,
	"access-control-allow-origin": 20, "age": 21, "allow": 22, "authorization": 23, "cache-control": 24,
	"content-disposition": 25, "content-encoding": 26, "content-language": 27, "content-length": 28, "content-location": 29,
	"content-range": 30, "content-type": 31, "cookie": 32, "date": 33, "etag": 34, "expect": 35, "expires": 36, "from": 37,
	"host": 38, "if-match": 39, "if-modified-since": 40, "if-none-match": 41, "if-range": 42, "if-unmodified-since": 43,
	"last-modified": 44, "link": 45, "location": 46, "max-forwards": 47, "proxy-authenticate": 48, "proxy-authorization": 49,
	"range": 50, "referer": 51, "refresh": 52, "retry-after": 53, "server": 54, "set-cookie": 55, "strict-transport-security": 56,
	"transfer-encoding": 57, "user-agent": 58, "vary": 59, "via": 60, "www-authenticate": 61,
}
