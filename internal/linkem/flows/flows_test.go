package flows_test

import (
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wherry/wherry/internal/linkem/flows"
)

func TestLinkFlows(t *testing.T) {
	got, err := flows.LinkFlows("tcp-cubic:2, quic,overlay:0")
	if want := []flows.Flow{{Kind: "tcp-cubic", Count: 2}, {Kind: "quic", Count: 1}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for text, want := range map[string]string{
		"tcp:1":               "tcp-cubic", // says what there is
		"quic:-1":             "number",
		"quic:x":              "number",
		"quic:1,quic:2":       "twice",
		"quic:0":              "no flows",
		"quic:200,overlay:1":  "",
		"quic:200,overlay:99": "fewer",
		"":                    "no flow",
	} {
		_, err := flows.LinkFlows(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
	if _, err := flows.LoopbackFlows("tcp:1,tls:1,quic:1"); err != nil {
		t.Error(err)
	}
}

func TestJain(t *testing.T) {
	for _, c := range []struct {
		shares []float64
		want   float64
	}{{[]float64{5, 5, 5, 5}, 1}, {[]float64{8, 0, 0, 0}, 0.25}, {[]float64{5.4, 88.6}, 0.5608}, {[]float64{0, 0}, 1}} {
		if got := flows.Jain(c.shares); got < c.want-1e-4 || got > c.want+1e-4 {
			t.Errorf("%v: %v, want %v", c.shares, got, c.want)
		}
	}
}

func TestLoopbackBringsEveryByte(t *testing.T) {
	kinds, err := flows.LoopbackFlows("overlay:1,tcp:2,tls:1,quic:1")
	if err != nil {
		t.Fatal(err)
	}
	report, err := flows.RunLoopback(t.Context(), kinds, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if r.GoodputGbit <= 0 || r.CPUSecondsOfGB <= 0 {
			t.Errorf("%+v", r)
		}
	}
	goleak.VerifyNone(t)
}
