package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/wherry/wherry/internal/linkem"
	"github.com/wherry/wherry/internal/linkem/flows"
)

func main() {
	what := flag.String("bars", "", "measure what the overlay has to reach: goodput, objects, fairness, queue, same or all")
	runs := flag.Int("runs", 5, "with -bars: how many `times`")
	d := flag.Duration("time", 10*time.Second, "with -bars: how long each kind of flow runs")
	atOnce := flag.Int("at-once", 2, "with -bars: how many `kinds` are measured at the same time, each over a link of its own")
	out := flag.String("out", "", "with -bars: `directory` for bars.json and a picture of a typical run of each measurement, as SVG and PNG")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	measure := verify
	if *what != "" {
		s := session{runs: max(*runs, 1), time: *d, atOnce: max(*atOnce, 1), out: *out}
		measure = func(ctx context.Context) error { return s.bars(ctx, *what) }
	}
	if err := measure(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "linkem: %v\n", err)
		os.Exit(1)
	}
}

// row is one comparison. Both values are in the unit of what.
type row struct {
	what           string
	expected, seen float64
}

// verify holds the emulator against other tools.
func verify(ctx context.Context) error {
	fmt.Println("| what | expected | seen | ratio |\n|---|--:|--:|--:|")
	for _, part := range []struct {
		name string
		rows func(context.Context) ([]row, error)
	}{{"delays", delays}, {"losses", losses}, {"rates", rates}, {"formulas", formulas}} {
		if flag.NArg() > 0 && !slices.Contains(flag.Args(), part.name) {
			continue
		}
		rows, err := part.rows(ctx)
		if err != nil {
			return err
		}
		for _, r := range rows {
			fmt.Printf("| %s | %.4g | %.4g | %.3f |\n", r.what, r.expected, r.seen, r.seen/r.expected)
		}
	}
	return nil
}

// wired is a lab of two places whose link runs.
type wired struct {
	a, b  *linkem.Place
	cable *linkem.Cable
}

// with runs f over a link of that shape both ways.
func with(ctx context.Context, s linkem.Shape, f func(wired) error) (err error) {
	lab := &linkem.Lab{}
	defer func() { err = errors.Join(err, lab.Close()) }()
	a, err := lab.Place("a")
	if err != nil {
		return err
	}
	b, err := lab.Place("b")
	if err != nil {
		return err
	}
	if s.RateBits > 0 && s.QueueBytes == 0 {
		s.QueueBytes = max(s.BDPBytes(), 300_000)
	}
	cable, err := lab.Join(a, b, uint64(time.Now().UnixNano()), []linkem.Shape{s}, []linkem.Shape{s})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- lab.Run(ctx) }()
	err = f(wired{a, b, cable})
	cancel()
	return errors.Join(err, <-ended)
}

// tool runs a program in a place and returns what it prints, also if it fails. ping says by its status that packets were lost, which is no failure.
func tool(ctx context.Context, at *linkem.Place, name string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, name, args...)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	if err := at.Start(c); err != nil {
		return nil, fmt.Errorf("%s: %w: install it (Debian: iputils-ping, iperf3)", name, err)
	}
	err := c.Wait()
	var status *exec.ExitError
	if errors.As(err, &status) && name == "ping" && ctx.Err() == nil && out.Len() > 0 {
		err = nil
	}
	if err != nil {
		return out.Bytes(), fmt.Errorf("%s: %w: %s%s", name, err, out.Bytes(), complaint.Bytes())
	}
	return out.Bytes(), nil
}

var (
	pingTimes = regexp.MustCompile(`rtt min/avg/max/mdev = ([0-9.]+)/([0-9.]+)/([0-9.]+)/([0-9.]+) ms`)
	pingLost  = regexp.MustCompile(`([0-9.]+)% packet loss`)
)

func numbers(pattern *regexp.Regexp, text []byte) ([]float64, error) {
	match := pattern.FindSubmatch(text)
	if match == nil {
		return nil, fmt.Errorf("no %v in:\n%s", pattern, text)
	}
	var all []float64
	for _, m := range match[1:] {
		n, err := strconv.ParseFloat(string(m), 64)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// delays asks ping for round trips.
func delays(ctx context.Context) (rows []row, err error) {
	for _, delay := range []time.Duration{500 * time.Microsecond, 5 * time.Millisecond, 50 * time.Millisecond} {
		err := with(ctx, linkem.Shape{Delay: delay}, func(w wired) error {
			out, err := tool(ctx, w.a, "ping", "-q", "-n", "-c", "300", "-i", "0.01", w.cable.B.String())
			if err != nil {
				return err
			}
			times, err := numbers(pingTimes, out)
			if err != nil {
				return err
			}
			expected := 2 * delay.Seconds() * 1e3
			what := fmt.Sprintf("ping over %v one way: ", delay)
			rows = append(rows, row{what + "least ms", expected, times[0]}, row{what + "mean ms", expected, times[1]})
			return nil
		})
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// losses asks ping, whose packets cross the link twice, and iperf3 with UDP, whose cross it once.
func losses(ctx context.Context) (rows []row, err error) {
	for _, l := range []struct {
		name string
		loss linkem.Loss
	}{{"1 %", linkem.RandomLoss(0.01)}, {"5 %", linkem.RandomLoss(0.05)}, {"5 % in bursts of 8", linkem.BurstLoss(0.05, 8)}} {
		err := with(ctx, linkem.Shape{Delay: time.Millisecond, Loss: l.loss}, func(w wired) error {
			out, err := tool(ctx, w.a, "ping", "-q", "-n", "-c", "4000", "-i", "0.002", w.cable.B.String())
			if err != nil {
				return err
			}
			lost, err := numbers(pingLost, out)
			if err != nil {
				return err
			}
			fraction := l.loss.Fraction()
			report, err := iperf(ctx, w, "-u", "-b", "40M", "-l", "1400", "-w", "2M", "-t", "6")
			if err != nil {
				return err
			}
			rows = append(rows,
				row{"loss " + l.name + ": ping, both ways, %", 100 * (1 - (1-fraction)*(1-fraction)), lost[0]},
				row{"loss " + l.name + ": iperf3, UDP, one way, %", 100 * fraction, report.End.Sum.LostPercent})
			return nil
		})
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// iperfReport is what is used of iperf3 -J.
type iperfReport struct {
	End struct {
		Sum struct {
			LostPercent float64 `json:"lost_percent"`
		} `json:"sum"`
		Received struct {
			BitsPerSecond float64 `json:"bits_per_second"`
		} `json:"sum_received"`
	} `json:"end"`
}

// iperf sends from a to b.
func iperf(ctx context.Context, w wired, args ...string) (iperfReport, error) {
	var report iperfReport
	serving, stop := context.WithCancel(ctx)
	server := exec.CommandContext(serving, "iperf3", "-s", "-1", "-B", w.cable.B.String())
	err := w.b.Start(server)
	if err != nil {
		stop()
		return report, fmt.Errorf("iperf3: %w: install it (Debian: iperf3)", err)
	}
	defer server.Wait()
	defer stop()
	// iperf3 doesn't say when it listens, but to its client.
	for range 200 {
		out, err := tool(ctx, w.a, "iperf3", append([]string{"-c", w.cable.B.String(), "-J"}, args...)...)
		if bytes.Contains(out, []byte("Connection refused")) {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if err != nil {
			return report, err
		}
		if err := json.Unmarshal(out, &report); err != nil {
			return report, fmt.Errorf("what iperf3 prints: %w", err)
		}
		return report, nil
	}
	return report, errors.New("iperf3 doesn't listen within 10 s")
}

// rates asks iperf3 what TCP gets; of 1,500 bytes on the link 1,448 are its user's.
func rates(ctx context.Context) (rows []row, err error) {
	for _, rate := range []int64{10e6, 100e6, 500e6, 1000e6} {
		err := with(ctx, linkem.Shape{RateBits: rate, Delay: time.Millisecond}, func(w wired) error {
			report, err := iperf(ctx, w, "-C", "cubic", "-t", "4", "-O", "1")
			if err != nil {
				return err
			}
			missed, err := w.cable.Missed()
			if missed > 0 {
				fmt.Fprintf(os.Stderr, "linkem: at %d Mbit/s the emulator missed %d packets\n", rate/1e6, missed)
			}
			rows = append(rows, row{
				fmt.Sprintf("iperf3, CUBIC, line of %d Mbit/s: Mbit/s", rate/1e6),
				float64(rate) / 1e6 * 1448 / 1500, report.End.Received.BitsPerSecond / 1e6,
			})
			return err
		})
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// formulas compares kernel Reno with the square-root formula (Mathis et al. 1997): MSS/RTT × √(3/2p).
func formulas(ctx context.Context) (rows []row, err error) {
	const roundTrip, segmentBits = 0.1, 1448 * 8
	for _, loss := range []float64{0.001, 0.01} {
		s := linkem.Shape{RateBits: 100e6, Delay: 50 * time.Millisecond, QueueBytes: 1_250_000, Loss: linkem.RandomLoss(loss)}
		report, err := flows.RunLink(ctx, flows.LinkPlan{
			Shape: s, Flows: []flows.Flow{{Kind: "tcp-reno", Count: 4}}, Duration: 20 * time.Second, Seed: uint64(time.Now().UnixNano()),
		})
		if err != nil {
			return rows, err
		}
		r := report.Results[0]
		rows = append(rows, row{
			fmt.Sprintf("TCP, Reno, loss %.4g %%, 100 ms: Mbit/s of a flow", 100*loss),
			segmentBits / roundTrip * math.Sqrt(1.5/loss) / 1e6, r.LaterHalfMbit / float64(r.Flows),
		})
	}
	return rows, nil
}
