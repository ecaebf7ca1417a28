package gdb

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/wherry/wherry/vmm/linux"
)

// parseThread reads a thread's number: -1 is all, 0 any.
func parseThread(s string) (int32, bool) {
	if s == "-1" {
		return -1, true
	}
	n, err := strconv.ParseUint(s, 16, 31)
	return int32(n), err == nil
}

// anyThread is the one that gdb chose, or that stopped, or the first.
func (c *conn) anyThread() int32 {
	threads := c.target.Threads()
	for _, want := range []int32{c.thread, c.stopped.Thread} {
		for _, t := range threads {
			if want > 0 && t.ID == want {
				return want
			}
		}
	}
	if len(threads) > 0 {
		return threads[0].ID
	}
	return 0
}

func (c *conn) find(id int32) (linux.TaskInfo, bool) {
	for _, t := range c.target.Threads() {
		if t.ID == id {
			return t, true
		}
	}
	return linux.TaskInfo{}, false
}

// choose is H: which thread what follows is about.
func (c *conn) choose(s string) []byte {
	if s == "" {
		return bad
	}
	id, valid := parseThread(s[1:])
	if !valid {
		return bad
	}
	if _, found := c.find(id); id > 0 && !found {
		return noThread
	}
	if s[0] == 'g' || id > 0 {
		c.thread = id
	}
	return ok
}

func (c *conn) alive(s string) []byte {
	id, valid := parseThread(s)
	if _, found := c.find(id); !valid || !found {
		return noThread
	}
	return ok
}

func (c *conn) currentThread(string) []byte { return fmt.Appendf(nil, "QC%x", c.anyThread()) }

func (c *conn) threadList(string) []byte {
	var ids []string
	for _, t := range c.target.Threads() {
		ids = append(ids, fmt.Sprintf("%x", t.ID))
	}
	return []byte("m" + strings.Join(ids, ","))
}

func (c *conn) threadExtra(s string) []byte {
	id, valid := parseThread(s)
	t, found := c.find(id)
	if !valid || !found {
		return noThread
	}
	return []byte(hex.EncodeToString([]byte(t.Waits)))
}

// threadsXML is what qXfer:threads has.
func (c *conn) threadsXML() []byte {
	b := []byte("<?xml version=\"1.0\"?>\n<threads>\n")
	for _, t := range c.target.Threads() {
		b = fmt.Appendf(b, "<thread id=\"%x\" core=\"0\" name=\"%s\">%s</thread>\n", t.ID, escapeXML(t.Name), escapeXML(t.Waits))
	}
	return append(b, "</threads>\n"...)
}

func escapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(strings.Map(func(r rune) rune {
		if r < ' ' || r == '\ufffd' {
			return '?'
		}
		return r
	}, s))
}
