//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kvAt gives a command of wherry kv to a node's portal.
func (l *labRun) kvAt(node string, args ...string) (string, error) {
	return l.run(append([]string{"kv", "--server", "http://" + l.portal[node], "--token-file", filepath.Join(l.dir, node, "operator.token")}, args...)...)
}

func (l *labRun) mustKV(node string, args ...string) string {
	l.t.Helper()
	text, err := l.kvAt(node, args...)
	if err != nil {
		l.t.Fatalf("wherry kv %s at %s: %v\n%s", strings.Join(args, " "), node, err, text)
	}
	return text
}

// untilKV waits until a node has a value, and returns for how long.
func (l *labRun) untilKV(node, key, want string) time.Duration {
	l.t.Helper()
	began, text := time.Now(), ""
	for time.Since(began) < time.Minute {
		var err error
		if text, err = l.kvAt(node, "get", "shop", key); err == nil && text == want {
			return time.Since(began)
		}
	}
	l.t.Fatalf("%s has %q under %s, want %q", node, text, key, want)
	return 0
}

// What a program writes at one edge the other has soon; it outlives the death of the edge, control's absence, and a backup.
func TestValuesInANetwork(t *testing.T) {
	t.Parallel()
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "0")
	for _, node := range []string{"edge-1", "edge-2", "control-1"} { // all have the values before one is measured
		l.untilAnswersKV(node)
	}
	l.mustKV("edge-1", "put", "shop", "first", "1")
	l.untilKV("edge-2", "first", "1")
	l.mustKV("edge-1", "put", "shop", "banner", "open")
	took := l.untilKV("edge-2", "banner", "open")
	t.Logf("from edge to edge: %v, with the start of the command", took)
	if took > 10*time.Second { // 2 s on a machine that has nothing else to do
		t.Errorf("a value took %v from edge to edge", took)
	}
	l.untilKV("control-1", "banner", "open")

	for i := range 20 {
		l.mustKV("edge-1", "put", "shop", fmt.Sprintf("key-%02d", i), fmt.Sprint(i))
	}
	l.must("lab", "kill", "edge-1")
	l.must("lab", "restart", "edge-1")
	l.untilKV("edge-1", "key-19", "19")
	for i := range 20 {
		if text := l.mustKV("edge-1", "get", "shop", fmt.Sprintf("key-%02d", i)); text != fmt.Sprint(i) {
			t.Errorf("after its death edge-1 has %q under key-%02d", text, i)
		}
	}

	l.must("lab", "kill", "control-1")
	l.mustKV("edge-1", "put", "shop", "alone", "yes")
	if text := l.mustKV("edge-1", "get", "shop", "alone"); text != "yes" {
		t.Errorf("edge-1 doesn't see what it has written without control: %q", text)
	}
	l.must("lab", "kill", "edge-1")
	l.must("lab", "restart", "edge-1")
	l.untilKV("edge-1", "alone", "yes") // what was acknowledged outlives the edge, too, that control has never heard of it from
	l.must("lab", "restart", "control-1")
	l.untilKV("edge-2", "alone", "yes")
	l.mustKV("edge-2", "delete", "shop", "banner")
	deadline := time.Now().Add(time.Minute)
	for {
		text, err := l.kvAt("edge-1", "get", "shop", "banner")
		if err != nil && strings.Contains(text, "nothing under this key") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("edge-1 still has what was deleted: %v %s", err, text)
		}
	}
}

// untilAnswersKV waits until a node answers about values.
func (l *labRun) untilAnswersKV(node string) {
	l.t.Helper()
	var text string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var err error
		if text, err = l.kvAt(node, "list"); err == nil {
			return
		}
	}
	l.t.Fatalf("%s doesn't answer about values: %s", node, text)
}

// A backup of control's store has the values; after a restore all nodes have what it has, and go on from there.
func TestValuesInABackup(t *testing.T) {
	t.Parallel()
	l := startLab(t, "--control", "1", "--edges", "1", "--dns", "0")
	l.untilAnswersKV("edge-1")
	l.mustKV("edge-1", "put", "shop", "before", "1")
	l.untilKV("control-1", "before", "1")
	backup := filepath.Join(t.TempDir(), "backup")
	l.must("control", "backup", backup)
	l.mustKV("edge-1", "put", "shop", "after", "2")
	l.untilKV("control-1", "after", "2")

	l.must("lab", "kill", "control-1")
	at := filepath.Join(l.dir, "control-1")
	if err := os.Rename(filepath.Join(at, "store"), filepath.Join(at, "store.gone")); err != nil {
		t.Fatal(err)
	}
	l.mustKV("edge-1", "put", "shop", "meanwhile", "3")
	l.must("control", "restore", "--dir", at, backup)
	l.must("lab", "restart", "control-1")
	for _, node := range []string{"control-1", "edge-1"} {
		l.untilKV(node, "meanwhile", "3") // of the edge alone until then
		l.untilKV(node, "before", "1")
		if text, err := l.kvAt(node, "get", "shop", "after"); err == nil || !strings.Contains(text, "nothing under this key") {
			t.Errorf("%s still has what isn't in the backup: %v %s", node, err, text)
		}
	}
}
