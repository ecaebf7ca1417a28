//go:build linux

package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcdEnv tells this test's program that it is an etcd: DIR PORT PORT.
const etcdEnv = "WHERRY_TEST_ETCD"

// runEtcd is an etcd as somebody else runs it, until it is killed.
func runEtcd(text string) {
	var dir string
	var client, peer int
	if _, err := fmt.Sscan(text, &dir, &client, &peer); err != nil {
		panic(err)
	}
	at := func(port int) []url.URL { return []url.URL{{Scheme: "http", Host: fmt.Sprint("127.0.0.1:", port)}} }
	c := embed.NewConfig()
	c.Dir, c.Name, c.LogLevel = dir, "theirs", "error"
	c.ListenClientUrls, c.AdvertiseClientUrls = at(client), at(client)
	c.ListenPeerUrls, c.AdvertisePeerUrls = at(peer), at(peer)
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.MaxTxnOps, c.MaxRequestBytes = 4096, 8<<20
	e, err := embed.StartEtcd(c)
	if err != nil {
		panic(err)
	}
	<-e.Err()
}

// freePorts returns ports that nobody has now.
func freePorts(t *testing.T, n int) (list []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list = append(list, l.Addr().(*net.TCPAddr).Port)
	}
	return list
}

// spawn starts a process that ends with the test, by kill at the latest.
func spawn(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s:\n%s", strings.Join(cmd.Args, " "), text[max(0, len(text)-3000):])
		}
		_ = log.Close()
	})
}

// Control keeps its network in an etcd that somebody else runs: control nodes come and go, the etcd does, and a backup goes into another one.
func TestAnEtcdOfOnesOwn(t *testing.T) {
	slow(t)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	p := freePorts(t, 12)
	dir := t.TempDir()
	l := &labRun{t: t, program: buildProgram(t), env: os.Environ(), http: map[string]string{"edge-1": fmt.Sprint("127.0.0.1:", p[8])}}
	etcd := func(name string, client, peer int) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", etcdEnv, filepath.Join(dir, name), client, peer))
		spawn(t, cmd)
		return cmd
	}
	first := etcd("etcd", p[0], p[1])
	at := fmt.Sprint("http://127.0.0.1:", p[0])
	node := func(command, name, roles string, mesh, portal int, more ...string) []string {
		return append([]string{
			command, "--dir", filepath.Join(dir, name), "--name", name, "--roles", roles, "--address", "127.0.0.1", "--mesh", fmt.Sprint("127.0.0.1:", mesh),
			"--portal", fmt.Sprint("127.0.0.1:", portal), "--https", "off", "--dns", "off",
		}, more...)
	}
	run := func(name string) *exec.Cmd {
		cmd := exec.Command(l.program, "run", "--dir", filepath.Join(dir, name))
		spawn(t, cmd)
		return cmd
	}
	eventually := func(says string, args ...string) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			text, err := l.run(args...)
			if err == nil && strings.Contains(text, says) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("wherry %v: %v %s", args, err, text)
			}
		}
	}
	if text, err := l.run(node("init", "control-1", "edge", p[2], p[3], "--etcd", "nowhere")...); err == nil || !strings.Contains(text, "https://HOST:PORT") || !strings.Contains(text, "only control nodes") {
		t.Errorf("wrong flags: %v %s", err, text)
	}
	l.must(node("init", "control-1", "control", p[2], p[3], "--etcd", at)...)
	if text, err := l.run(node("init", "control-9", "control", p[4], p[5], "--etcd", at)...); err == nil || !strings.Contains(text, "has a network in it already") {
		t.Errorf("another network in the same etcd: %v %s", err, text)
	}
	one := run("control-1")
	token, err := os.ReadFile(filepath.Join(dir, "control-1", "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	server := func(portal int) {
		l.env = append(os.Environ(), fmt.Sprint("WHERRY_SERVER=http://127.0.0.1:", portal), "WHERRY_TOKEN="+strings.TrimSpace(string(token)))
	}
	server(p[3])
	eventually("control-1", "status")
	join := strings.Fields(l.must("node", "token", "--roles", "control,edge", "--uses", "2"))
	joinToken := join[len(join)-1]
	l.must(node("join", "control-2", "control", p[4], p[5], "--etcd", at, "--token", joinToken)...)
	l.must(node("join", "edge-1", "edge", p[6], p[7], "--http", l.http["edge-1"], "--token", joinToken)...)
	run("control-2")
	run("edge-1")
	l.until("all are there", func(nodes map[string]nodeState) bool { return nodes["control-2"].Live && nodes["edge-1"].Live })
	yaml := "name: shop\nhosts: [shop.test]\norigins: [{url: \"" + origin.URL + "\"}]\n"
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", yaml))
	l.untilServes("edge-1")
	if text, err := l.run("control", "grow", "control-2"); err == nil || !strings.Contains(text, "etcd") {
		t.Errorf("grow: %v %s", err, text)
	}

	_ = one.Process.Kill()
	server(p[5])
	eventually("revision 2", "apply", "--emergency", "-f", l.write("shop.yaml", yaml+"body_size: 1MiB\n"))
	eventually("leader control-2", "control", "status")
	_ = first.Process.Kill()
	_ = first.Wait()
	if status, body := l.get("edge-1", "/a"); status != http.StatusOK {
		t.Errorf("without the store: %d %s", status, body)
	}
	if text, err := l.run("apply", "--emergency", "-f", l.write("shop.yaml", yaml)); err == nil {
		t.Errorf("an apply without the store: %s", text)
	}
	etcd("etcd", p[0], p[1])
	eventually("revision 3", "apply", "--emergency", "-f", l.write("shop.yaml", yaml+"body_size: 2MiB\n"))

	backup := filepath.Join(dir, "backup")
	l.must("control", "backup", backup)
	if text, err := l.run("control", "restore", "--dir", filepath.Join(dir, "control-1"), backup); err == nil || !strings.Contains(text, "empty store only") {
		t.Errorf("a restore over a network: %v %s", err, text)
	}
}
