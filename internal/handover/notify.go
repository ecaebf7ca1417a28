package handover

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Notify tells systemd how the service is, as sd_notify(3) does: Ready, Stopping, MainPID. Without $NOTIFY_SOCKET nobody wants to know.
func Notify(states ...string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "@") { // vsock and the like: nothing of ours
		return fmt.Errorf("NOTIFY_SOCKET %q: want a path", name)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}) // net reads @ as an abstract name
	if err != nil {
		return fmt.Errorf("systemd can't be told: %w", err)
	}
	defer c.Close()
	_, err = c.Write([]byte(strings.Join(states, "\n")))
	return err
}

// What systemd may be told.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// Status is a line for `systemctl status`.
func Status(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

// MainPID is that another process is the service from now on. The old program says it, as soon as the new one serves and before it ends itself.
func MainPID(pid int) string { return "MAINPID=" + strconv.Itoa(pid) }

// Reloading is that the service is busy until it says Ready. systemd (Type=notify-reload) wants the time on the monotonic clock, in microseconds.
func Reloading() string {
	return "RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(monotonicMicros(), 10)
}
