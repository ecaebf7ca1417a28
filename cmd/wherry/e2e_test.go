//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/wherry/wherry/internal/linkem"
)

// TestMain makes `wherry` in the scripts this very program, as a process of its own.
func TestMain(m *testing.M) {
	if text := os.Getenv(etcdEnv); text != "" {
		runEtcd(text)
		return
	}
	testscript.Main(m, map[string]func(){"wherry": main})
}

// TestScripts runs testdata/script: each file is what one user does, with the tools that the user has. They need Linux, where all
// of 127.0.0.0/8 is this machine. Beside testscript's own commands they have those listed here, each with its usage below.
func TestScripts(t *testing.T) {
	p := &ports{next: rand.IntN(portHigh - portLow)}
	t.Cleanup(p.release)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			w := &world{ports: p, children: map[string]*child{}, origins: map[string]*scripted{}}
			env.Values[worldKey{}] = w
			env.Defer(w.end)
			// Of its own, so that no script finds the networks of another.
			env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, ".run"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, ".home"))
			for _, variable := range env.Vars {
				name, _, _ := strings.Cut(variable, "=")
				w.names = append(w.names, name)
			}
			return os.Mkdir(filepath.Join(env.WorkDir, ".home"), 0o700)
		},
		Condition: func(name string) (bool, error) {
			if name != "lab" {
				return false, fmt.Errorf("no condition is called %q", name)
			}
			return linkem.Available() == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"browse":      cmdBrowse,
			"browse3":     cmdBrowse3,
			"crash":       cmdCrash,
			"damage":      cmdDamage,
			"end":         cmdEnd,
			"ended":       cmdEnded,
			"exits":       cmdExits,
			"expand":      cmdExpand,
			"guest":       cmdGuest,
			"json":        cmdJSON,
			"origin":      cmdOrigin,
			"paste":       cmdPaste,
			"ports":       cmdPorts,
			"retry-until": cmdRetryUntil,
			"signal":      cmdSignal,
			"start":       cmdStart,
			"upgrade":     cmdUpgrade,
		},
	})
}

type worldKey struct{}

// world is what one script has started.
type world struct {
	names    []string // of the environment's variables
	ports    *ports
	children map[string]*child
	origins  map[string]*scripted
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// end ends everything that the script has left running.
func (w *world) end() {
	for _, c := range w.children {
		_ = c.cmd.Process.Kill() // it may have ended
		<-c.ended
	}
	for _, o := range w.origins {
		o.stop()
	}
}

func (w *world) child(ts *testscript.TestScript, name string) *child {
	c := w.children[name]
	if c == nil {
		ts.Fatalf("nothing was started as %s", name)
	}
	return c
}

// env is the environment of the script's processes.
func (w *world) env(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range w.names {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// setenv sets a variable for the script and its processes.
func setenv(ts *testscript.TestScript, name, value string) {
	w := worldOf(ts)
	w.names = append(w.names, name)
	ts.Setenv(name, value)
}

// usage ends the script when a command isn't called as it should be.
func usage(ts *testscript.TestScript, neg, ok bool, text string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", text)
	}
}

// ports hands out ports that can be used again after they were closed: outside of the range from which the system takes those for
// port 0 and for outgoing connections.
type ports struct {
	mu     sync.Mutex // protects what follows
	next   int
	claims []net.Listener
}

const (
	portLow, portHigh = 20000, 32000
	// claimHost is where a port that was handed out is held, so that no other run of the tests takes it meanwhile.
	claimHost = "127.254.254.254"
)

// free returns a port that is free on 127.0.0.1 and 127.0.0.2, for TCP and UDP.
func (p *ports) free() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range portHigh - portLow {
		p.next = (p.next + 1) % (portHigh - portLow)
		port := strconv.Itoa(portLow + p.next)
		claim, err := net.Listen("tcp", net.JoinHostPort(claimHost, port))
		if err != nil {
			continue
		}
		if isFree("127.0.0.1", port) && isFree("127.0.0.2", port) {
			p.claims = append(p.claims, claim)
			return port, nil
		}
		_ = claim.Close()
	}
	return "", errors.New("no port is free")
}

func isFree(host, port string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", net.JoinHostPort(host, port))
	return err == nil && u.Close() == nil
}

func (p *ports) release() {
	for _, claim := range p.claims {
		_ = claim.Close()
	}
}

// cmdPorts sets variables to free ports.
func cmdPorts(ts *testscript.TestScript, neg bool, names []string) {
	usage(ts, neg, len(names) > 0, "ports NAME...")
	for _, name := range names {
		port, err := worldOf(ts).ports.free()
		ts.Check(err)
		setenv(ts, name, port)
	}
}

// child is a wherry that runs in the background.
type child struct {
	cmd    *exec.Cmd
	out    *childOutput
	stderr string        // file
	ended  chan struct{} // closed when the process has ended; err is its status
	err    error
}

// childOutput keeps standard output in a file, and its head where it can be read when the line ready has come.
type childOutput struct {
	file  *os.File
	head  bytes.Buffer
	ready chan struct{} // closed after the line; head doesn't change then
}

func (o *childOutput) Write(p []byte) (int, error) {
	n, err := o.file.Write(p) // before ready: who waits for that reads the file
	select {
	case <-o.ready:
	default:
		o.head.Write(p)
		if bytes.Contains(o.head.Bytes(), []byte("\nready\n")) {
			close(o.ready)
		}
	}
	return n, err
}

// startBound is how long a start and an end may take on a busy machine; they take a moment.
const startBound = 20 * time.Second

// cmdStart starts a wherry and waits for its line ready. `dev` gets free ports for the doors that args don't name.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 3 && args[1] == "wherry", "start NAME wherry COMMAND [ARG...]")
	name, args := args[0], args[2:]
	if args[0] == "dev" {
		for _, flag := range []string{"--http", "--https", "--dns", "--portal"} {
			if !strings.Contains(strings.Join(args, " ")+" ", flag+" ") {
				args = append(args, flag, "127.0.0.1:0")
			}
		}
	}
	c := startChild(ts, name, args)
	select {
	case <-c.out.ready:
	case <-c.ended:
		ts.Fatalf("%s ended with %v before it was ready:\n%s", name, c.err, ts.ReadFile(c.stderr))
	case <-time.After(startBound):
		ts.Fatalf("%s isn't ready after %v:\n%s", name, startBound, ts.ReadFile(c.stderr))
	}
	head, _, _ := strings.Cut(c.out.head.String(), "\nready\n")
	ts.Logf("[%s]\n%s", name, head)
	setAnnounced(ts, name, head)
}

func startChild(ts *testscript.TestScript, name string, args []string) *child {
	w := worldOf(ts)
	if c := w.children[name]; c != nil {
		select {
		case <-c.ended:
		default:
			ts.Fatalf("%s still runs", name)
		}
	}
	path, err := exec.LookPath("wherry")
	ts.Check(err)
	// A second process of the name appends: what the first one said may still be asked for.
	open := func(kind string) *os.File {
		file, err := os.OpenFile(ts.MkAbs(name+"."+kind), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		ts.Check(err)
		return file
	}
	stdout, stderr := open("stdout"), open("stderr")
	c := &child{
		cmd: exec.Command(path, args...), out: &childOutput{file: stdout, ready: make(chan struct{})}, stderr: stderr.Name(),
		ended: make(chan struct{}),
	}
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = ts.MkAbs("."), c.out, stderr
	c.cmd.Env = w.env(ts)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // even if this process is killed
	ts.Check(c.cmd.Start())
	w.children[name] = c
	go func() {
		defer close(c.ended)
		c.err = c.cmd.Wait()
		_, _ = stdout.Close(), stderr.Close()
	}()
	return c
}

// setAnnounced sets NAME_http, NAME_https, NAME_portal, NAME_origin, NAME_ns, NAME_nsport, NAME_ca and NAME_dir to what a wherry
// has printed; of the second edge they are NAME_http2 and NAME_https2, and so on.
func setAnnounced(ts *testscript.TestScript, name, head string) {
	for what, pattern := range map[string]string{
		"http":   `(?m)^(?:edge \S+ +)?(http://\S+)/(?: +https://\S+)?$`,
		"https":  `(?m)^(?:edge .* )?(https://\S+)/`,
		"portal": `(?m)^(?:status page +)(http://\S+)/$|^(http://\S+)/ +status page$`,
		"origin": `(?m)^origin +(\S+?)/?(?: +the demo site)?$`,
		"ns":     `(?m)^dns +(\S+):\d+ `,
		"nsport": `(?m)^dns +\S+:(\d+) `,
		"ca":     `(?m)local CA +(\S+)$`,
		"dir":    `(?m)^state +(\S+)$`,
	} {
		for i, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(head, -1) {
			variable := name + "_" + what
			if i > 0 {
				variable += strconv.Itoa(i + 1)
			}
			setenv(ts, variable, strings.Join(found[1:], ""))
		}
	}
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	known := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM}
	usage(ts, neg, len(args) == 2 && known[args[1]] != 0, "signal NAME HUP|INT|TERM")
	ts.Check(worldOf(ts).child(ts, args[0]).cmd.Process.Signal(known[args[1]]))
}

// cmdEnded waits until a process has ended, which it has to do with status 0 and without a trace of a bug of ours.
func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "ended NAME")
	c := worldOf(ts).child(ts, args[0])
	select {
	case <-c.ended:
	case <-time.After(startBound):
		ts.Fatalf("%s hasn't ended after %v:\n%s", args[0], startBound, ts.ReadFile(c.stderr))
	}
	said := ts.ReadFile(c.stderr)
	if c.err != nil || strings.Contains(said, "BUG") || strings.Contains(said, "panic") || strings.Contains(said, "DATA RACE") {
		ts.Fatalf("%s ended with %v:\n%s", args[0], c.err, said)
	}
}

// cmdEnd ends a process as its user would.
func cmdEnd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1 || len(args) == 2, "end NAME [SIGNAL]")
	cmdSignal(ts, false, append(args, "TERM")[:2])
	cmdEnded(ts, false, args[:1])
}

// cmdCrash ends a process without asking it.
func cmdCrash(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "crash NAME")
	c := worldOf(ts).child(ts, args[0])
	ts.Check(c.cmd.Process.Kill())
	<-c.ended
}

// cmdExits runs a program that has to end with the given status.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(strings.Join(args[:min(1, len(args))], ""))
	usage(ts, neg, err == nil && len(args) >= 2, "exits STATUS PROGRAM [ARG...]")
	err = ts.Exec("timeout", append([]string{"20"}, args[1:]...)...)
	var exit *exec.ExitError
	status := 0
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if status != want {
		ts.Fatalf("ended with status %d, not %d", status, want)
	}
}

// cmdPaste gives the shell a line that wherry dev has printed under "Try:".
func cmdPaste(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "paste NAME NUMBER")
	number, err := strconv.Atoi(args[1])
	ts.Check(err)
	_, try, _ := strings.Cut(worldOf(ts).child(ts, args[0]).out.head.String(), "\nTry:\n")
	try, _, _ = strings.Cut(try, "\n\n")
	lines := strings.Split(try, "\n")
	if number < 1 || number > len(lines) {
		ts.Fatalf("%s has printed %d lines to try", args[0], len(lines))
	}
	ts.Logf("pasted: %s", lines[number-1])
	ts.Check(ts.Exec("sh", "-c", lines[number-1]))
}

// cmdRetryUntil runs a program again and again until its output matches.
func cmdRetryUntil(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 3, "retry-until DURATION PATTERN PROGRAM [ARG...]")
	bound, err := time.ParseDuration(args[0])
	ts.Check(err)
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), bound+startBound)
	defer cancel()
	for began := time.Now(); ; <-pause.C {
		text, err := command(ctx, ts, args[2], args[3:]...).CombinedOutput()
		took := time.Since(began)
		if err == nil && pattern.Match(text) {
			ts.Logf("%s matched after %v", pattern, took.Round(time.Millisecond))
			fmt.Fprintf(ts.Stdout(), "%s", text)
			return
		}
		if took > bound {
			ts.Fatalf("after %v %s still prints, with %v:\n%s", bound, args[2], err, text)
		}
	}
}

// command is a program as ts.Exec runs it, without a log of each run.
func command(ctx context.Context, ts *testscript.TestScript, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, program, args...)
	c.Dir, c.Env = ts.MkAbs("."), worldOf(ts).env(ts)
	return c
}

// cmdExpand replaces $NAME in files.
func cmdExpand(ts *testscript.TestScript, neg bool, files []string) {
	usage(ts, neg, len(files) > 0, "expand FILE...")
	for _, file := range files {
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
	}
}

// cmdJSON checks that a file holds JSON objects with the given keys; with -lines each is one line, as a log has them.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	lines := len(args) > 0 && args[0] == "-lines"
	if lines {
		args = args[1:]
	}
	usage(ts, neg, len(args) >= 1, "json [-lines] FILE [KEY...]")
	text := ts.ReadFile(args[0])
	count := 0
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); count++ {
		var object map[string]any
		if err := d.Decode(&object); err != nil {
			ts.Fatalf("%s: object %d isn't JSON: %v", args[0], count+1, err)
		}
		for _, key := range args[1:] {
			if _, ok := object[key]; !ok {
				ts.Fatalf("%s: object %d has no %s: %v", args[0], count+1, key, object)
			}
		}
	}
	if count == 0 || lines && strings.Count(text, "\n") != count {
		ts.Fatalf("%s has %d objects and %d lines", args[0], count, strings.Count(text, "\n"))
	}
}

// cmdBrowse prints the document that Chromium has after it has run the page's scripts.
func cmdBrowse(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "browse URL")
	browse(ts, args[0], "--disable-quic")
}

// cmdBrowse3 is browse over HTTP/3 alone, with a local CA and another host at the address of the URL: Chromium has no QUIC for addresses that no
// certificate of a public authority names.
func cmdBrowse3(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 3, "browse3 CAFILE URL HOST")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[0])))
	at, err := url.Parse(args[1])
	ts.Check(err)
	c, err := tls.Dial("tcp", at.Host, &tls.Config{RootCAs: roots, ServerName: args[2]})
	ts.Check(err)
	leaf := c.ConnectionState().PeerCertificates[0]
	ts.Check(c.Close())
	rule := "--host-resolver-rules=MAP " + args[2] + " " + at.Hostname()
	at.Host = net.JoinHostPort(args[2], at.Port())
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	browse(ts, at.String(), "--origin-to-force-quic-on="+at.Host, rule,
		"--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(key[:]))
}

// browse prints the document that Chromium makes of a page.
func browse(ts *testscript.TestScript, page string, flags ...string) {
	profile, err := os.MkdirTemp(ts.Getenv("TMPDIR"), "chromium-")
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	flags = append(flags, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+profile, "--virtual-time-budget=5000", "--dump-dom", page)
	c := command(ctx, ts, "chromium", flags...)
	c.WaitDelay = time.Second   // its helpers may outlive it and hold the pipe
	document, err := c.Output() // without standard error, where it laments what this machine lacks
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s", document)
}
