package exchange

// field is a line of a section. Its name is as http.Header has it, or a pseudo-header field's, with the colon.
type field struct{ name, value string }

// size is what a field counts for in a header list (RFC 9113 §6.5.2).
func (f field) size() int { return len(f.name) + len(f.value) + 32 }

// static is the static table. Where a field stands decides how many bytes it takes: a whole field one byte if it is among the first
// 63, a name one byte if it is among the first 31, and the name of a date if it is among the first 15. It is never written to.
var static = [...]field{
	{"Date", ""},
	{"Last-Modified", ""},
	{"Expires", ""},
	{"If-Modified-Since", ""},
	{":path", "/"},
	{":authority", ""},
	{":status", "200"},
	{"Etag", ""},
	{"Content-Length", "0"},
	{"Cache-Control", "no-cache"},
	{"Content-Type", "text/html; charset=utf-8"},
	{"Cookie", ""},
	{"Set-Cookie", ""},
	{"If-None-Match", ""},
	{"Age", "0"},
	{"X-Request-Id", ""}, // 15
	{"X-Forwarded-For", ""},
	{"Cache-Status", ""},
	{"Via", ""},
	{"Referer", ""},
	{"User-Agent", ""},
	{"Accept", "*/*"},
	{"Location", ""},
	{"Range", ""},
	{"Content-Range", ""},
	{"Authorization", ""},
	{"Link", ""},
	{"Traceparent", ""},
	{"Forwarded", ""},
	{"Cdn-Loop", ""},
	{"Vary", "Accept-Encoding"}, // 30
	{":method", "GET"},
	{":method", "POST"},
	{":method", "HEAD"},
	{":scheme", "https"},
	{":scheme", "http"},
	{":status", "304"},
	{":status", "206"},
	{":status", "404"},
	{":status", "204"},
	{":status", "302"},
	{":status", "301"},
	{":status", "103"},
	{"Accept-Encoding", "gzip, deflate, br, zstd"},
	{"Accept-Encoding", "gzip, deflate, br"},
	{"Accept-Encoding", "gzip"},
	{"Accept-Ranges", "bytes"},
	{"Content-Encoding", "gzip"},
	{"Content-Encoding", "br"},
	{"Content-Encoding", "zstd"},
	{"Content-Type", "application/json"},
	{"Content-Type", "text/css"},
	{"Content-Type", "text/javascript"},
	{"Content-Type", "image/webp"},
	{"Content-Type", "image/png"},
	{"Content-Type", "image/jpeg"},
	{"X-Content-Type-Options", "nosniff"},
	{"Upgrade-Insecure-Requests", "1"},
	{"Sec-Fetch-Site", "same-origin"},
	{"Sec-Fetch-Mode", "cors"},
	{"Sec-Fetch-Mode", "no-cors"},
	{"Sec-Fetch-Dest", "empty"},
	{"X-Forwarded-Proto", "https"}, // 62
	{":method", "PUT"},
	{":method", "DELETE"},
	{":method", "OPTIONS"},
	{":method", "PATCH"},
	{":method", "CONNECT"},
	{":protocol", "websocket"},
	{":status", "100"},
	{":status", "101"},
	{":status", "307"},
	{":status", "308"},
	{":status", "400"},
	{":status", "401"},
	{":status", "403"},
	{":status", "416"},
	{":status", "429"},
	{":status", "500"},
	{":status", "502"},
	{":status", "503"},
	{":status", "504"},
	{"Sec-Fetch-Site", "none"},
	{"Sec-Fetch-Site", "cross-site"},
	{"Sec-Fetch-Site", "same-site"},
	{"Sec-Fetch-Mode", "navigate"},
	{"Sec-Fetch-Mode", "websocket"},
	{"Sec-Fetch-Dest", "document"},
	{"Sec-Fetch-Dest", "script"},
	{"Sec-Fetch-Dest", "style"},
	{"Sec-Fetch-Dest", "image"},
	{"Sec-Fetch-Dest", "font"},
	{"Sec-Fetch-User", "?1"},
	{"Sec-Ch-Ua", ""},
	{"Sec-Ch-Ua-Mobile", "?0"},
	{"Sec-Ch-Ua-Platform", `"Windows"`},
	{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
	{"Accept", "application/json"},
	{"Accept-Language", "en-US,en;q=0.9"},
	{"Cache-Control", "no-store"},
	{"Cache-Control", "max-age=0"},
	{"Cache-Control", "private"},
	{"Cache-Control", "public, max-age=31536000, immutable"},
	{"Cache-Control", "public, max-age=31536000"},
	{"Cache-Control", "max-age=3600"},
	{"Content-Type", "application/javascript"},
	{"Content-Type", "text/plain; charset=utf-8"},
	{"Content-Type", "text/html"},
	{"Content-Type", "font/woff2"},
	{"Content-Type", "image/avif"},
	{"Content-Type", "image/svg+xml"},
	{"Content-Type", "application/octet-stream"},
	{"Content-Type", "application/x-www-form-urlencoded"},
	{"Content-Language", ""},
	{"Content-Disposition", ""},
	{"Content-Security-Policy", ""},
	{"Strict-Transport-Security", "max-age=31536000"},
	{"Strict-Transport-Security", "max-age=31536000; includeSubDomains"},
	{"X-Frame-Options", "SAMEORIGIN"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "strict-origin-when-cross-origin"},
	{"Permissions-Policy", ""},
	{"Access-Control-Allow-Origin", "*"},
	{"Access-Control-Allow-Methods", ""},
	{"Access-Control-Allow-Headers", ""},
	{"Access-Control-Allow-Credentials", "true"},
	{"Access-Control-Max-Age", ""},
	{"Access-Control-Expose-Headers", ""},
	{"Access-Control-Request-Method", ""},
	{"Access-Control-Request-Headers", ""},
	{"Alt-Svc", ""},
	{"Allow", ""},
	{"Expect", "100-continue"},
	{"From", ""},
	{"If-Match", ""},
	{"If-Range", ""},
	{"If-Unmodified-Since", ""},
	{"Origin", ""},
	{"Pragma", "no-cache"},
	{"Priority", "u=1, i"},
	{"Priority", "u=0, i"},
	{"Proxy-Authorization", ""},
	{"Proxy-Authenticate", ""},
	{"Proxy-Status", ""},
	{"Retry-After", ""},
	{"Save-Data", ""},
	{"Sec-Websocket-Key", ""},
	{"Sec-Websocket-Accept", ""},
	{"Sec-Websocket-Version", "13"},
	{"Sec-Websocket-Protocol", ""},
	{"Sec-Websocket-Extensions", "permessage-deflate; client_max_window_bits"},
	{"Server", ""},
	{"Server-Timing", ""},
	{"Surrogate-Control", ""},
	{"Surrogate-Key", ""},
	{"Te", "trailers"},
	{"Timing-Allow-Origin", "*"},
	{"Tracestate", ""},
	{"Trailer", ""},
	{"Vary", "Origin"},
	{"Vary", "Accept"},
	{"Www-Authenticate", ""},
	{"X-Cache", ""},
	{"X-Forwarded-Host", ""},
	{"X-Powered-By", ""},
	{"X-Xss-Protection", "1; mode=block"},
}

// staticFields and staticNames find the first place of a field and of a name. They are never written to.
var staticFields, staticNames = indexStatic()

func indexStatic() (map[field]int, map[string]int) {
	fields, names := make(map[field]int, len(static)), make(map[string]int, len(static))
	for i, f := range static {
		if _, ok := fields[f]; !ok {
			fields[f] = i
		}
		if _, ok := names[f.name]; !ok {
			names[f.name] = i
		}
	}
	return fields, names
}

// habit is what the encoder knows of a name.
type habit uint8

const (
	fleeting habit = 1 << iota // its value rarely comes again: isn't kept
	secret                     // a credential: isn't kept
	dated                      // its value is a date
)

// habits are of names of the static table. It is never written to.
var habits = map[string]habit{
	"Date": fleeting | dated, "Last-Modified": fleeting | dated, "Expires": fleeting | dated, "If-Modified-Since": fleeting | dated,
	"If-Unmodified-Since": fleeting | dated,
	"Etag":                fleeting, "If-None-Match": fleeting, "Content-Length": fleeting, "Age": fleeting, "X-Request-Id": fleeting,
	"Range": fleeting, "Content-Range": fleeting, "Traceparent": fleeting, "Sec-Websocket-Key": fleeting, "Sec-Websocket-Accept": fleeting,
	"Authorization": secret, "Proxy-Authorization": secret, "Cookie": secret, "Set-Cookie": secret,
}
