package tsc

import (
	"bytes"
	"os"
	"sync"
)

// Read is what the counter says, after all instructions before have been executed.
func Read() uint64

// clockSource is where Linux says what it keeps time by.
const clockSource = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

// Steady reports whether the counter is good for a clock. Linux watches it, and stops to use it when it isn't.
var Steady = sync.OnceValue(func() bool {
	name, err := os.ReadFile(clockSource)
	return err == nil && bytes.Equal(bytes.TrimSpace(name), []byte("tsc"))
})
