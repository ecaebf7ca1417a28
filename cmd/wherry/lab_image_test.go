//go:build linux

package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// metric is the sum of a node's metrics that begin with a name, and have a part.
func (l *labRun) metric(node, name, part string) (sum float64) {
	l.t.Helper()
	resp, err := http.Get("http://" + l.portal[node] + "/metrics")
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if series, value, ok := strings.Cut(lines.Text(), " "); ok && strings.HasPrefix(series, name) && strings.Contains(series, part) {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				l.t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// An image comes to the edges by those that follow control: control sends it to these alone. When one of them is gone, those below have it from elsewhere.
func TestImagesComeDownTheTree(t *testing.T) {
	t.Parallel()
	const edges, heads = 8, 4 // two clusters of four, with two heads each
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	program := buildAnswering(t, "", "hello")
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	l := startLab(t, "--control", "1", "--edges", strconv.Itoa(edges), "--dns", "0")
	for until := time.Now().Add(2 * time.Minute); l.metric("control-1", "wherry_feed_children", "") > heads; {
		if time.Now().After(until) {
			t.Fatal("the edges haven't taken their places")
		}
		time.Sleep(100 * time.Millisecond)
	}
	moves := func() (n float64) { // edges that have left whom they followed, or weren't given the image by it
		for i := range edges {
			edge := fmt.Sprintf("edge-%d", i+1)
			n += l.metric(edge, "wherry_feed_parents_left_total", "") + l.metric(edge, "wherry_images_fetches_total", `became="failed",from="relay"`)
		}
		return n
	}
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\norigins: [{url: \""+origin.URL+"\"}]\n"))
	moved := moves()
	text := l.must("program", "deploy", "hello", program, "--site", "shop", "--path", "/hello", "--emergency")
	var fromControl, fromRelays float64
	for i := range edges {
		edge := fmt.Sprintf("edge-%d", i+1)
		l.answers(time.Minute, edge, "/hello", http.StatusOK, "hello")
		fromControl += l.metric(edge, "wherry_images_fetched_bytes_total", `from="control"`)
		fromRelays += l.metric(edge, "wherry_images_fetched_bytes_total", `from="relay"`)
	}
	size := float64(info.Size())
	moved = moves() - moved // none, where the machine isn't busy, but for the canary: no settings name what it tries
	t.Logf("%d edges, an image of %.0f bytes: %.0f from control (%.1f copies), %.0f from relays (%.1f copies), %.0f moves\n%s",
		edges, size, fromControl, fromControl/size, fromRelays, fromRelays/size, moved, text)
	if fromControl > (heads+1+moved)*size || fromControl >= edges*size || fromControl+fromRelays < edges*size { // the canary, which tried it, may be none of the heads
		t.Errorf("control sent %.1f copies and relays %.1f to %d edges of which %d follow control", fromControl/size, fromRelays/size, edges, heads)
	}
	hash := l.hashOf(program)
	unnamed := strings.Repeat("ab", 32)
	given := 0
	for i := range edges * edges {
		as, of := fmt.Sprintf("edge-%d", 1+i/edges), fmt.Sprintf("edge-%d", 1+i%edges)
		if as == of {
			continue
		}
		switch status := l.askImage(as, of, hash); status {
		case http.StatusOK:
			given++
			if status := l.askImage(as, of, unnamed); status != http.StatusNotFound {
				t.Errorf("%s answers %s %d for what no settings name", of, as, status)
			}
		case http.StatusForbidden:
		default:
			t.Errorf("%s answers %s %d", of, as, status)
		}
	}
	if given != edges-heads {
		t.Errorf("edges gave an image to %d others; %d follow an edge", given, edges-heads)
	}
}

func (l *labRun) hashOf(file string) string {
	l.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// askImage asks a node for an image as another node does, with that one's certificate, and returns the status.
func (l *labRun) askImage(as, of, hash string) int {
	l.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(l.dir, as, "identity", "node.crt"), filepath.Join(l.dir, as, "identity", "node.key"))
	if err != nil {
		l.t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(l.dir, of, "node.json"))
	if err != nil {
		l.t.Fatal(err)
	}
	var settings struct{ Mesh string }
	if err := json.Unmarshal(text, &settings); err != nil {
		l.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + settings.Mesh + "/node/v1/images/" + hash)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// A backup has the images: control begins anew on an empty disk, and an edge without the program gets it from there.
func TestImagesInABackup(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	program := buildAnswering(t, "", "from the backup")
	l := startLab(t, "--control", "1", "--edges", "1", "--dns", "0")
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\norigins: [{url: \""+origin.URL+"\"}]\n"))
	l.must("program", "deploy", "hello", program, "--site", "shop", "--path", "/hello", "--emergency")
	l.answers(time.Minute, "edge-1", "/hello", http.StatusOK, "from the backup")
	backup := filepath.Join(t.TempDir(), "backup")
	l.must("control", "backup", backup)

	l.must("lab", "kill", "control-1")
	l.must("lab", "kill", "edge-1")
	at, gone := filepath.Join(l.dir, "control-1"), t.TempDir()
	for i, dir := range []string{filepath.Join(at, "store"), filepath.Join(at, "feed"), filepath.Join(l.dir, "edge-1", "programs")} {
		if err := os.Rename(dir, filepath.Join(gone, strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	if text := l.must("control", "restore", "--dir", at, backup); !strings.Contains(text, "and 1 images of programs restored") {
		t.Error(text)
	}
	l.must("lab", "restart", "control-1")
	l.must("lab", "restart", "edge-1")
	l.answers(time.Minute, "edge-1", "/hello", http.StatusOK, "from the backup")
	if bytes := l.metric("edge-1", "wherry_images_fetched_bytes_total", `from="control"`); bytes == 0 {
		t.Error("the edge had the image: this test says nothing")
	}
}
