package cache

import (
	"strconv"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

// status is this cache's member of Cache-Status (RFC 9211 §2).
type status struct {
	hit       bool
	fwd       string // why the request went forward: uri-miss, vary-miss, stale, request, bypass, method
	fwdStatus int
	stored    bool
	collapsed bool
	ttl       time.Duration
	hasTTL    bool
	key       store.Key // only when the request is traced
	detail    string
}

// render returns the member of the cache whose name is rendered as name.
func (s *status) render(name string) string {
	return string(s.appendTo(make([]byte, 0, 128), name)) // on the stack
}

// appendTo appends what render returns.
func (s *status) appendTo(b []byte, name string) []byte {
	b = append(b, name...)
	if s.hit {
		b = append(b, "; hit"...)
	}
	if s.fwd != "" {
		b = append(append(b, "; fwd="...), s.fwd...)
	}
	if s.fwdStatus != 0 {
		b = strconv.AppendInt(append(b, "; fwd-status="...), int64(s.fwdStatus), 10)
	}
	if s.hasTTL {
		b = strconv.AppendInt(append(b, "; ttl="...), s.ttlSeconds(), 10)
	}
	if s.stored {
		b = append(b, "; stored"...)
	}
	if s.collapsed {
		b = append(b, "; collapsed"...)
	}
	if s.key != "" {
		b = append(append(b, "; key="...), field.Quoted(string(s.key))...)
	}
	if s.detail != "" {
		b = append(append(b, "; detail="...), field.TokenOrString(s.detail)...)
	}
	return b
}

// ttlSeconds rounds up, as Age is rounded down: together they are the lifetime.
func (s *status) ttlSeconds() int64 {
	if s.ttl > 0 {
		return int64((s.ttl + time.Second - 1) / time.Second)
	}
	return int64(s.ttl / time.Second)
}
