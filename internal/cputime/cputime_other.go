//go:build !linux

package cputime

import "time"

var started = time.Now()

// Thread is the time since the process started.
func Thread() time.Duration { return time.Since(started) }
