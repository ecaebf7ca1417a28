package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	subscribers int
	upper       int // relays below control
	lower       int // relays below those, which have the subscribers
	processes   int // of subscribers
	entries     int
	interval    time.Duration
	objectBytes int
	time        time.Duration
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		if err := runChild(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.subscribers, "subscribers", 5000, "how many `nodes` follow")
	flag.IntVar(&o.upper, "upper", 4, "how many relays follow control")
	flag.IntVar(&o.lower, "lower", 20, "how many relays follow those, and have the subscribers")
	flag.IntVar(&o.processes, "processes", 5, "in how many processes the subscribers are")
	flag.IntVar(&o.entries, "entries", 30, "how many entries to append")
	flag.DurationVar(&o.interval, "interval", 2*time.Second, "from one append to the next, or longer, until all have it")
	flag.IntVar(&o.objectBytes, "object", 1024, "`bytes` of each entry's object")
	flag.DurationVar(&o.time, "time", 2*time.Minute, "give up after this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	r, err := run(ctx, &o)
	if r != nil && len(r.confirmed) > 0 {
		fmt.Print(r.table()) // of what was measured, if the time is over
	}
	if err == nil {
		err = r.problem()
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "feed:", strings.ReplaceAll(err.Error(), "\nsignal: killed", ""))
		os.Exit(1)
	}
}

func (o *options) check() error {
	if o.subscribers < 1 || o.upper < 1 || o.lower < 1 || o.processes < 1 || o.entries < 1 || o.objectBytes < 1 || o.objectBytes > 64<<10 {
		return errors.New("all numbers must be at least 1, and -object at most 65536")
	}
	return nil
}
