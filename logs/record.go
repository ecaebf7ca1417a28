package logs

import (
	"net/netip"
	"time"
)

// Record is what is known of one request when it is over. As JSON its fields have the names in the comments. Those marked
// "if any" are left out when they are empty or zero; all others are on every line, in this order. Times are UTC, durations are
// whole microseconds, sizes are bytes.
//
// Whoever adds a field adds it to AppendJSON and to the table in record_test.go.
type Record struct {
	// time: when the request's header section had arrived; RFC 3339 with microseconds.
	Time time.Time
	// node: the edge that served it.
	Node string
	// site, rule: whom it was for and which rule of the site applied; if any.
	Site, Rule string
	// request_id: as in the field Wherry-Request-Id of the request to the origin and of the response.
	RequestID string
	// client: the address of the peer of the connection.
	Client netip.Addr
	// method, scheme, host: host as the client sent it, with its port.
	Method, Scheme, Host string
	// path, query: as in the request line; query without the question mark, if any.
	Path, Query string
	// protocol: HTTP/1.0, HTTP/1.1 or HTTP/2.0.
	Protocol string
	// tls: the version, such as "TLS 1.3"; if any.
	TLS string
	// status: what was sent, or 499 when the client left before that.
	Status int
	// request_body_bytes, response_body_bytes: content as it was on the connection, without framing; of an upgraded
	// connection, what went each way after the switch.
	RequestBodyBytes, ResponseBodyBytes int64
	// duration_us: from time to the end of the response. first_byte_us: from time to its header section; 0 if none was sent.
	Duration, FirstByte time.Duration
	// cache: hit, stale, revalidated, collapsed, miss, pass, failed or refused.
	Cache string
	// cache_detail: why; if any. cache_status: this node's member of the field Cache-Status; if any.
	CacheDetail, CacheStatus string
	// cache_stored: the response went into the store, was on its way there, or was renewed by a 304; if so.
	CacheStored bool
	// fetch_status: the origin's status; if it was asked and answered.
	FetchStatus int
	// fetch_us: until the origin's header section was there; if it was asked.
	FetchTime time.Duration
	// refused: the reason label of wherry_edge_refused_total; if any.
	Refused string
	// fault: client, origin, edge, peer or config; if the request failed. fault_op: the operation that failed.
	Fault, FaultOp string
	// error: what went wrong, for operators; if anything.
	Error string
	// aborted: the response was cut off before its end; if so.
	Aborted bool
	// user_agent, referer: as sent, at most 1024 bytes of each; if any.
	UserAgent, Referer string
}

// valueMaxBytes bounds what one field of free text may add to a line; the path and query are bounded by the header limit.
const valueMaxBytes = 1024

// AppendJSON appends r as one JSON object, without a line feed, and returns the longer slice. It doesn't allocate unless dst has
// to grow.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"time":"`...)
	dst = appendTime(dst, r.Time.UTC())
	dst = append(dst, '"')
	dst = appendString(dst, `,"node":`, r.Node)
	dst = appendIfAny(dst, `,"site":`, r.Site)
	dst = appendIfAny(dst, `,"rule":`, r.Rule)
	dst = appendString(dst, `,"request_id":`, r.RequestID)
	dst = append(dst, `,"client":"`...)
	if r.Client.IsValid() {
		dst = r.Client.WithZone("").AppendTo(dst) // a zone is free text of the operating system
	}
	dst = append(dst, '"')
	dst = appendString(dst, `,"method":`, clip(r.Method))
	dst = appendString(dst, `,"scheme":`, r.Scheme)
	dst = appendString(dst, `,"host":`, clip(r.Host))
	dst = appendString(dst, `,"path":`, r.Path)
	dst = appendIfAny(dst, `,"query":`, r.Query)
	dst = appendString(dst, `,"protocol":`, r.Protocol)
	dst = appendIfAny(dst, `,"tls":`, r.TLS)
	dst = appendInt(dst, `,"status":`, int64(r.Status))
	dst = appendInt(dst, `,"request_body_bytes":`, r.RequestBodyBytes)
	dst = appendInt(dst, `,"response_body_bytes":`, r.ResponseBodyBytes)
	dst = appendInt(dst, `,"duration_us":`, r.Duration.Microseconds())
	dst = appendInt(dst, `,"first_byte_us":`, r.FirstByte.Microseconds())
	dst = r.appendCache(dst)
	dst = r.appendFault(dst)
	dst = appendIfAny(dst, `,"user_agent":`, clip(r.UserAgent))
	dst = appendIfAny(dst, `,"referer":`, clip(r.Referer))
	return append(dst, '}')
}

func (r *Record) appendCache(dst []byte) []byte {
	dst = appendString(dst, `,"cache":`, r.Cache)
	dst = appendIfAny(dst, `,"cache_detail":`, clip(r.CacheDetail))
	dst = appendIfAny(dst, `,"cache_status":`, clip(r.CacheStatus))
	if r.CacheStored {
		dst = append(dst, `,"cache_stored":true`...)
	}
	if r.FetchStatus != 0 {
		dst = appendInt(dst, `,"fetch_status":`, int64(r.FetchStatus))
	}
	if r.FetchTime != 0 {
		dst = appendInt(dst, `,"fetch_us":`, r.FetchTime.Microseconds())
	}
	return dst
}

func (r *Record) appendFault(dst []byte) []byte {
	dst = appendIfAny(dst, `,"refused":`, r.Refused)
	dst = appendIfAny(dst, `,"fault":`, r.Fault)
	dst = appendIfAny(dst, `,"fault_op":`, r.FaultOp)
	dst = appendIfAny(dst, `,"error":`, clip(r.Error))
	if r.Aborted {
		dst = append(dst, `,"aborted":true`...)
	}
	return dst
}
