package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/wherry/wherry/certs"
)

// running is what a process of this user leaves where other wherry commands find it: where its portal is and how to be its
// operator. The file is gone when the process ends, and one of a process that was killed is recognised and removed.
type running struct {
	PID    int    `json:"pid"`
	Server string `json:"server"` // the portal's URL
	Token  string `json:"token"`

	path string
}

// runningDir is the folder of the entries, which only this user can read.
func runningDir() (string, error) {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "wherry-"+strconv.Itoa(os.Getuid()))
	} else {
		dir = filepath.Join(dir, "wherry")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	// In a folder that everybody can write to, somebody else may have been first.
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || ok && int(owner.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s isn't a folder of yours alone: remove it", dir)
	}
	return dir, nil
}

// register leaves the entry of this process. Without a portal there is nothing to find.
func register(portal net.Listener, token string) (*running, error) {
	if portal == nil {
		return nil, nil
	}
	return registerAt(portal.Addr(), token)
}

func registerAt(portal net.Addr, token string) (*running, error) {
	dir, err := runningDir()
	if err != nil {
		return nil, err
	}
	r := &running{PID: os.Getpid(), Server: "http://" + reachable(portal), Token: token}
	r.path = filepath.Join(dir, strconv.Itoa(r.PID)+".json")
	data, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return r, certs.WriteSecret(r.path, data) // whole: who reads half of an entry takes it for a stale one
}

func (r *running) remove() {
	if r != nil {
		_ = os.Remove(r.path) // a stale one does no harm
	}
}

// reachable is where a listener can be reached from this machine.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// runningProcesses returns the entries of the processes that run.
func runningProcesses() ([]running, error) {
	dir, err := runningDir()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []running
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it ended just now
		}
		var r running
		if json.Unmarshal(data, &r) != nil || errors.Is(syscall.Kill(r.PID, 0), syscall.ESRCH) {
			_ = os.Remove(path)
			continue
		}
		all = append(all, r)
	}
	return all, nil
}
