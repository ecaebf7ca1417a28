package flows_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wherry/wherry/internal/linkem"
	"github.com/wherry/wherry/internal/linkem/flows"
)

// run measures, or skips where there can be no link.
func run(t *testing.T, plan flows.LinkPlan) *flows.LinkReport {
	t.Helper()
	if err := linkem.Available(); err != nil {
		t.Skip("no link can be emulated here: ", err)
	}
	t.Cleanup(func() { goleak.VerifyNone(t) })
	plan.Shape.RateBits, plan.Shape.Delay, plan.Shape.QueueBytes = 20e6, 5*time.Millisecond, 50_000
	report, err := flows.RunLink(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func kinds(t *testing.T, text string) []flows.Flow {
	t.Helper()
	f, err := flows.LinkFlows(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEachKindAloneFillsNoMoreThanTheLink(t *testing.T) {
	report := run(t, flows.LinkPlan{Flows: kinds(t, "tcp-reno:1,tcp-cubic:2,quic:1"), Duration: time.Second})
	for _, r := range report.Results {
		// How much of it depends on who else uses this machine; that bytes come, and no more than the line carries, doesn't.
		if r.GoodputMbit < 1 || r.Share > 1.02 || r.RTT.MinMs < 10 || r.CPUSeconds <= 0 || len(r.FlowMbit) != r.Flows {
			t.Errorf("%+v", r)
		}
		if r.Emulator.Offered < 100 || r.Emulator.Missed != 0 {
			t.Errorf("%s: the link saw %+v", r.Kind, r.Emulator)
		}
	}
	var table bytes.Buffer
	if err := report.Table(&table); err != nil || !strings.Contains(table.String(), "tcp-cubic:2") {
		t.Errorf("%v\n%s", err, table.String())
	}
}

func TestObjectsTogether(t *testing.T) {
	report := run(t, flows.LinkPlan{
		Shape: linkem.Shape{Loss: linkem.RandomLoss(0.01)}, Flows: kinds(t, "tcp-cubic:1,quic:1"), Duration: time.Second, ObjectBytes: 10 << 10, Together: true,
	})
	for _, r := range report.Results {
		// A round trip and the line's time for 10 KiB are the least.
		if r.Objects == nil || r.Objects.Count < 3 || r.Objects.P50Ms < 14 || r.Objects.P99Ms < r.Objects.P50Ms {
			t.Errorf("%s: %+v", r.Kind, r.Objects)
		}
	}
	if report.All == nil || report.All.CPUSeconds <= 0 || report.All.Share > 1.02 {
		t.Errorf("all: %+v", report.All)
	}
}

func TestAMeasurementThatIsInterrupted(t *testing.T) {
	run(t, flows.LinkPlan{Flows: kinds(t, "tcp-cubic:1"), Duration: 500 * time.Millisecond}) // skips where there can be none
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := flows.RunLink(ctx, flows.LinkPlan{
		Shape: linkem.Shape{RateBits: 20e6, QueueBytes: 50_000}, Flows: kinds(t, "quic:1,tcp-cubic:1"), Duration: time.Minute,
	})
	if err == nil {
		t.Error("an interrupted measurement gave a report")
	}
}
