package h2

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Whatever a client sends, and in whatever pieces: no panic, and the connection ends when the client does.
func FuzzConn(f *testing.F) {
	const whole = flagEndHeaders | flagEndStream
	for _, s := range []string{
		"", getBlock,
		headersFrameBytes(whole, 1, getBlock),
		headersFrameBytes(whole, 1, getBlock) + frameBytes(4, frameWindowUpdate, 0, 0, "\x00\x01\x00\x00") + frameBytes(4, frameWindowUpdate, 0, 1, "\x00\x01\x00\x00"),
		headersFrameBytes(flagEndHeaders, 1, getBlock) + frameBytes(5, frameData, flagEndStream, 1, "hello"),
		headersFrameBytes(flagEndHeaders, 1, getBlock) + frameBytes(6, frameData, flagPadded, 1, "\x02hello") + headersFrameBytes(whole, 1, "\x40\x01a\x01b"),
		headersFrameBytes(flagEndHeaders, 1, getBlock) + frameBytes(4, frameReset, 0, 1, "\x00\x00\x00\x08"),
		headersFrameBytes(0, 1, getBlock[:1]) + frameBytes(2, frameContinuation, flagEndHeaders, 1, getBlock[1:]),
		frameBytes(12, frameSettings, 0, 0, "\x00\x04\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00") + headersFrameBytes(whole, 1, getBlock),
		settingsFrame(3) + frameBytes(8, framePing, 0, 0, "12345678") + frameBytes(8, frameGoAway, 0, 0, "12345678"),
		headersFrameBytes(flagEndHeaders, 1, getBlock+"\x00\x01a\x01b") + frameBytes(5, frameData, 0, 1, "hello") + frameBytes(0, frameData, flagEndStream, 1, ""),
		frameBytes(16385, frameData, 0, 1, ""), frameBytes(5, framePriority, 0, 1, "\x00\x00\x00\x01\x00"),
	} {
		f.Add([]byte(s), uint16(11))
	}
	f.Fuzz(func(t *testing.T, p []byte, cut uint16) {
		if len(p) > 64<<10 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			finished := 0
			asked := 0
			w := dial(t, wireOptions{
				hit: func(r *Request) Hit {
					if len(r.Path)%2 == 0 {
						return nil
					}
					asked++
					h := newPage(strings.Repeat("a", 40_000))
					h.done = func(int64, error) { finished++ }
					return h
				},
				handler: func(w http.ResponseWriter, r *http.Request) {
					if len(r.Header)%2 == 0 {
						_, _ = io.Copy(w, r.Body)
					}
				},
			})
			at := int(cut) % (len(p) + 1)
			_, _ = w.nc.Write(p[:at])
			synctest.Wait()
			_, _ = w.nc.Write(p[at:])
			synctest.Wait()
			w.nc.Close()
			began := time.Now()
			<-w.served
			if took := time.Since(began); took > time.Second {
				t.Errorf("the server went on for %v after its client", took)
			}
			if asked != finished {
				t.Errorf("%d hits, of which %d are done", asked, finished)
			}
		})
	})
}

// What we encode, a decoder that isn't ours reads as it was, in any order and any number of times.
func FuzzBlock(f *testing.F) {
	f.Add("content-type", "text/html", 200)
	f.Add("x-a", "", 404)
	f.Add("age", strings.Repeat("~", 200), 301)
	f.Add(":status", "\x00\xff", 999)
	f.Fuzz(func(t *testing.T, name, value string, status int) {
		status = 100 + (status&0x7fffffff)%900
		block := AppendStatus(nil, status)
		block = AppendField(block, name, value)
		block = AppendValue(AppendFieldName(block, name), value)
		block = AppendLines(block, name, []string{value})
		fields, err := hpack.NewDecoder(0, nil).DecodeFull(block)
		if err != nil {
			t.Fatalf("%q: %v", block, err)
		}
		if fields[0].Name != ":status" || len(fields[0].Value) != 3 {
			t.Errorf("status %d is %v", status, fields[0])
		}
		for _, f := range fields[1:3] {
			if f.Name != name || f.Value != value {
				t.Errorf("%q: %q is %q: %q", name, value, f.Name, f.Value)
			}
		}
		if len(fields) > 3 {
			got := fields[3]
			if got.Name != strings.ToLower(name) || got.Value != strings.Trim(value, " \t") || strings.ContainsAny(got.Value, "\r\n\x00") {
				t.Errorf("lines of %q: %q are %q: %q", name, value, got.Name, got.Value)
			}
		}
	})
}

func TestFieldsOfAConnectionAreNotSent(t *testing.T) { // RFC 9113 §8.2.2
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "X Y", ""} {
		if got := AppendLines(nil, name, []string{"a"}); len(got) > 0 {
			t.Errorf("%q is sent: %q", name, got)
		}
	}
}
