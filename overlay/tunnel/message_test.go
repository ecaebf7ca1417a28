package tunnel

import (
	"bytes"
	"strings"
	"testing"
)

func TestMessages(t *testing.T) {
	h := &hello{version: version, token: "secret", name: "laptop", offers: []offered{{HTTP, "shop"}, {TCP, "db"}}}
	b := h.append(nil)
	want := "\x01\x1a\x01\x06secret\x06laptop\x02\x01\x04shop\x02\x02db"
	if string(b) != want {
		t.Errorf("a hello is %q, doc.go draws %q", b, want)
	}
	later := append([]byte{version}, b[3:]...)
	later = append(later, "of a later release"...)
	if got, err := parseHello(later); err != nil || got.name != "laptop" || len(got.offers) != 2 || got.offers[1] != (offered{TCP, "db"}) {
		t.Errorf("a hello with more fields is %+v, %v", got, err)
	}
	no := &refusal{causeToken, strings.Repeat("é", MessageBytesMax)}
	k, p, err := readMessage(bytes.NewReader(no.append(nil)))
	if err != nil || k != kindRefused {
		t.Fatal(k, err)
	}
	if got, err := parseRefusal(p); err != nil || !strings.HasPrefix(no.words, got.words) || got.cause != causeToken {
		t.Errorf("a long refusal is %v, %v", got, err)
	}
	if got, _ := parseRefusal(appendText([]byte{1}, "a\x1b[2Jb\nc")); got.words != "a [2Jb c" {
		t.Errorf("a refusal that plays with the terminal is %q", got.words)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add((&hello{version: version, token: "secret", name: "laptop", offers: []offered{{HTTP, "shop"}, {TCP, "db"}}}).append(nil))
	f.Add((&refusal{causeFull, "dial another node"}).append(nil))
	f.Add(appendMessage(nil, kindWelcome, appendText(nil, "lisbon")))
	f.Add(appendMessage(nil, kindDraining, nil))
	f.Add([]byte("\x01\xc0\x00\x00\x00\x00\x00\x00\x01\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, p, err := readMessage(bytes.NewReader(b))
		if err != nil {
			return
		}
		if len(p) > MessageBytesMax || len(p) >= len(b) {
			t.Fatalf("%d bytes of %d", len(p), len(b))
		}
		if h, err := parseHello(p); err == nil && h.version == version {
			if len(h.offers) > OffersMax || !validName(h.name) {
				t.Fatalf("%+v", h)
			}
			_, again, err := readMessage(bytes.NewReader(h.append(nil)))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := parseHello(again); err != nil || got.token != h.token || len(got.offers) != len(h.offers) {
				t.Fatalf("%+v became %+v, %v", h, got, err)
			}
		}
		if no, err := parseRefusal(p); err == nil && strings.ContainsAny(no.words, "\x00\n\r\x1b\x7f") {
			t.Fatalf("%q", no.words)
		}
		if node, err := parseWelcome(p); err == nil && !validName(node) {
			t.Fatalf("%q", node)
		}
		_ = k
	})
}
