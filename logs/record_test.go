package logs

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func fullRecord() Record {
	return Record{
		Time: time.Date(2026, 3, 1, 12, 30, 5, 123456789, time.FixedZone("", 3600)),
		Node: "lisbon-1", Site: "shop", Rule: "static", RequestID: "3f2a", Client: netip.MustParseAddr("2001:db8::1%eth0"),
		Method: "GET", Scheme: "https", Host: "shop.test:8443", Path: "/a%2Fb", Query: "q=\"x\"", Protocol: "HTTP/2.0", TLS: "TLS 1.3",
		Status: 200, RequestBodyBytes: 7, ResponseBodyBytes: 1234, Duration: 1500 * time.Microsecond, FirstByte: 900 * time.Microsecond,
		Cache: "miss", CacheDetail: "stored", CacheStatus: "lisbon-1; fwd=uri-miss; stored", CacheStored: true,
		FetchStatus: 200, FetchTime: 800 * time.Microsecond, Refused: "host", Fault: "origin", FaultOp: "read body",
		Error: "origin: read body: unexpected EOF", Aborted: true, UserAgent: "curl/8", Referer: "https://shop.test/",
	}
}

func TestRecordFields(t *testing.T) {
	r := fullRecord()
	want := map[string]any{
		"time": "2026-03-01T11:30:05.123456Z", "node": "lisbon-1", "site": "shop", "rule": "static", "request_id": "3f2a",
		"client": "2001:db8::1", "method": "GET", "scheme": "https", "host": "shop.test:8443", "path": "/a%2Fb",
		"query": "q=\"x\"", "protocol": "HTTP/2.0", "tls": "TLS 1.3", "status": 200.0, "request_body_bytes": 7.0,
		"response_body_bytes": 1234.0, "duration_us": 1500.0, "first_byte_us": 900.0, "cache": "miss",
		"cache_detail": "stored", "cache_status": "lisbon-1; fwd=uri-miss; stored", "cache_stored": true,
		"fetch_status": 200.0, "fetch_us": 800.0, "refused": "host", "fault": "origin", "fault_op": "read body",
		"error": "origin: read body: unexpected EOF", "aborted": true, "user_agent": "curl/8", "referer": "https://shop.test/",
	}
	if got := decode(t, r.AppendJSON(nil)); !reflect.DeepEqual(got, want) {
		t.Errorf("fields differ:\n got %v\nwant %v", got, want)
	}
}

// A field of Record that AppendJSON forgets would be lost without a sound.
func TestRecordWritesEveryField(t *testing.T) {
	full := fullRecord()
	whole := string(full.AppendJSON(nil))
	for i := range reflect.TypeFor[Record]().NumField() {
		r := full
		reflect.ValueOf(&r).Elem().Field(i).SetZero()
		if string(r.AppendJSON(nil)) == whole {
			t.Errorf("%s doesn't change the line", reflect.TypeFor[Record]().Field(i).Name)
		}
	}
}

func TestEmptyRecordKeepsItsFixedFields(t *testing.T) {
	got := decode(t, (&Record{}).AppendJSON(nil))
	for _, name := range []string{
		"time", "node", "request_id", "client", "method", "scheme", "host", "path", "protocol", "status", "request_body_bytes",
		"response_body_bytes", "duration_us", "first_byte_us", "cache",
	} {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("fields that should be left out: %v", got)
	}
}

func TestRecordBoundsFreeText(t *testing.T) {
	r := Record{UserAgent: strings.Repeat("a", 5000), Referer: strings.Repeat("é", 3000), Error: strings.Repeat("x", 5000)}
	got := decode(t, r.AppendJSON(nil))
	for _, name := range []string{"user_agent", "referer", "error"} {
		if n := len(got[name].(string)); n > valueMaxBytes+2 {
			t.Errorf("%s has %d bytes", name, n)
		}
	}
}

func decode(t *testing.T, line []byte) map[string]any {
	t.Helper()
	got := map[string]any{}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return got
}

func TestTimeIsAsTheStandardLibraryWritesIt(t *testing.T) {
	for _, at := range []time.Time{
		{},
		time.Unix(0, 0), time.Date(2026, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(2024, 2, 29, 0, 0, 0, 1000, time.UTC),
		time.Date(9999, 1, 1, 1, 1, 1, 10000, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		want := at.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
		if got := string(appendTime(nil, at.UTC())); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
