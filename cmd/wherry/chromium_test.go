//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// browser is a page of a real Chromium that a test steers through a pair of pipes (--remote-debugging-pipe): messages of the DevTools protocol
// in JSON, each ended by a zero byte.
type browser struct {
	t       *testing.T
	in      io.Writer
	session string

	mu      sync.Mutex // protects what follows
	count   int
	answers map[int]chan devtoolsMessage
	said    []string // what the console and the policy of the page complained of
}

type devtoolsMessage struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

const browseWithin = time.Minute // on a machine that is busy; what is well comes at once

// openBrowser starts Chromium with an empty page, width pixels wide. The test is skipped where there is none.
func openBrowser(t *testing.T, width int) *browser {
	t.Helper()
	const program = "/usr/bin/chromium"
	if _, err := os.Stat(program); err != nil {
		t.Skipf("the portal needs a browser: %v", err)
	}
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--user-data-dir="+profile)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4 there
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	b := &browser{t: t, in: ourOut, answers: map[int]chan devtoolsMessage{}}
	listened := make(chan struct{})
	go func() { defer close(listened); b.listen(ourIn) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with its helpers
		_ = cmd.Wait()
		_, _ = ourOut.Close(), ourIn.Close()
		<-listened
		_ = os.RemoveAll(profile)
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	b.resize(width)
	return b
}

// listen takes what Chromium says until it ends.
func (b *browser) listen(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m devtoolsMessage
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case b.answers[m.ID] != nil:
			b.answers[m.ID] <- m
			delete(b.answers, m.ID)
		case m.Method == "Runtime.exceptionThrown", m.Method == "Log.entryAdded", m.Method == "Runtime.consoleAPICalled":
			b.said = append(b.said, string(text[:min(len(text)-1, 1000)]))
		}
		b.mu.Unlock()
	}
}

// call gives a command and waits for what comes of it.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.mu.Lock()
	b.count++
	m := devtoolsMessage{ID: b.count, Method: method, SessionID: b.session, Params: params}
	answer := make(chan devtoolsMessage, 1)
	b.answers[m.ID] = answer
	b.mu.Unlock()
	text, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), browseWithin)
	defer cancel()
	select {
	case got := <-answer:
		if got.Error != nil {
			b.t.Fatalf("%s: %s", method, got.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(got.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
	case <-ctx.Done():
		b.t.Fatalf("%s: no answer", method)
	}
}

// resize makes the page as wide as a screen.
func (b *browser) resize(width int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}, nil)
}

// eval runs a script in the page, and returns its value.
func (b *browser) eval(script string) any {
	b.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", script, got.ExceptionDetails.Exception.Description)
	}
	return got.Result.Value
}

// until waits for a script to say true.
func (b *browser) until(what, script string) {
	b.t.Helper()
	for deadline := time.Now().Add(browseWithin); ; time.Sleep(50 * time.Millisecond) {
		if b.eval("Boolean("+script+")") == true {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s doesn't come; the page is\n%v\n%s", what, b.eval("document.body.innerText"), strings.Join(b.complaints(), "\n"))
		}
	}
}

// sees waits for a text on the page, or in the dialog that is open.
func (b *browser) sees(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%q", text), fmt.Sprintf("(document.querySelector('dialog[open]') ?? document.body)?.innerText.includes(%s)", quoted(text)))
}

// click presses a button or follows a link by its words.
func (b *browser) click(text string) {
	b.t.Helper()
	find := fmt.Sprintf(`(document.querySelector("dialog[open]") ? ["dialog[open]"] : ["main", "body"])
		.flatMap((part) => [...document.querySelectorAll(part + " :is(button, a, summary, label)")])
		.find((e) => e.textContent.trim().startsWith(%s) && !e.disabled && e.checkVisibility())`, quoted(text))
	b.until("something to click called "+text, find)
	b.eval(find + ".click()")
}

// fill types into a field, which a selector finds, in place of what is there.
func (b *browser) fill(selector, text string) {
	b.t.Helper()
	find := fmt.Sprintf("(document.querySelector('dialog[open]') ?? document).querySelector(%s)", quoted(selector))
	b.until("a field "+selector, find)
	b.eval(find + ".focus(); " + find + ".select()")
	b.call("Input.insertText", map[string]any{"text": text}, nil)
}

func (b *browser) press(key string) {
	b.t.Helper()
	for _, kind := range []string{"rawKeyDown", "char", "keyUp"} {
		b.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "text": "\r", "windowsVirtualKeyCode": 13}, nil)
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
}

// complaints are errors of scripts, and what the page's policy has kept from happening.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.said...)
}

// shoot writes what is to be seen into the folder $WHERRY_SCREENSHOTS, if there is one: wide and as on a phone, light and dark.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("WHERRY_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, look := range []struct {
		name, scheme string
		width        int
	}{{"wide", "light", 1200}, {"phone", "light", 390}, {"dark", "dark", 1200}} {
		b.resize(look.width)
		b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": look.scheme}}}, nil)
		var shot struct{ Data string }
		b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": b.eval("!document.querySelector('dialog[open]')")}, &shot)
		data, err := base64.StdEncoding.DecodeString(shot.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+"-"+look.name+".png"), data, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	b.resize(1200)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{}}, nil)
}

func quoted(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(data)
}
