//go:build !linux

package program

import (
	"errors"
	"time"
)

var started = time.Now()

// threadTime is wall time here: a thread's own isn't known.
func threadTime() int64 { return int64(time.Since(started)) }

func available() (int64, error) {
	return 0, errors.New("idle instances can be measured on Linux alone")
}
