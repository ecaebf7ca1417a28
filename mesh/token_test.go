package mesh

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/feed"
)

func TestJoinTokens(t *testing.T) {
	a := authority(t)
	address := serve(t, join(t, a, "lisbon-1", time.Now(), feed.RoleControl), ListenOptions{Anonymous: true})
	text := NewJoinToken([]string{address}, a.Pin()).Text()
	token, err := ParseJoinToken(text[:40] + "\n  " + text[40:])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t, JoinTransport(token), t.Context(), address); !strings.HasPrefix(got, " [] false") {
		t.Errorf("%q, %v", got, err)
	}
	edge := serve(t, join(t, a, "osaka-1", time.Now(), feed.RoleEdge), ListenOptions{Anonymous: true})
	if _, err := ask(t, JoinTransport(token), t.Context(), edge); err == nil || !strings.Contains(err.Error(), "osaka-1 answers there, which isn't control") {
		t.Errorf("an edge that wants the secret: %v", err)
	}
	early := serve(t, join(t, a, "lisbon-1", time.Now().Add(50*time.Hour), feed.RoleControl), ListenOptions{Anonymous: true})
	if _, err := ask(t, JoinTransport(token), t.Context(), early); err == nil || !strings.Contains(err.Error(), "certificate of lisbon-1 isn't valid before") {
		t.Errorf("a wrong clock: %v", err)
	}
	token.Pin[0] ^= 1
	if _, err := ask(t, JoinTransport(token), t.Context(), address); err == nil || !strings.Contains(err.Error(), "isn't control of the network") {
		t.Errorf("control of another network: %v", err)
	}
}

func TestWhatIsNoJoinToken(t *testing.T) {
	text := NewJoinToken([]string{"192.0.2.1:8440"}, [32]byte{}).Text()
	for _, c := range []struct{ name, text, says string }{
		{"nothing", " \n", "is empty"},
		{"something else", "ssh-ed25519 AAAA", "begins with wjt1."},
		{"cut off at the end", text[:len(text)-3], "cut off"},
		{"cut off at the front", text[1:], "begins with wjt1."},
		{"its front alone", "wjt1.", "cut off"},
		{"a changed letter", strings.Replace(text, text[30:31], "-", 1), "cut off, or has something else in it"},
		{"pasted with the command", text + " --name x", "cut off, or has something else in it"},
		{"of another version", "wjt2." + text[5:], "another version of wherry (wjt2)"},
		{"a file", "wjt1." + strings.Repeat("A", tokenMax), "longer than any"},
		{"without an address", NewJoinToken(nil, [32]byte{}).Text(), "names 0 addresses"},
		{"with too many", NewJoinToken(make([]string, 17), [32]byte{}).Text(), "names 17 addresses"},
		{"with an address that is none", NewJoinToken([]string{"192.0.2.1"}, [32]byte{}).Text(), "want HOST:PORT"},
		{"without a secret", JoinToken{Servers: []string{"a:1"}, Pin: make([]byte, 32), ID: "x"}.Text(), "isn't of this version"},
	} {
		if _, err := ParseJoinToken(c.text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestNothingShowsTheSecretOfAToken(t *testing.T) {
	token := NewJoinToken([]string{"192.0.2.1:8440"}, [32]byte{})
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("joining", "token", token)
	slog.New(slog.NewTextHandler(&log, nil)).Info("joining", "token", token)
	data, err := json.Marshal(struct{ Token JoinToken }{token})
	shown := log.String() + string(data) + fmt.Sprintf("%v %+v %#v %s %q", token, token, token, token, token)
	if err == nil || strings.Contains(shown, token.Secret) || strings.Contains(shown, token.Text()) {
		t.Errorf("%s, %v", shown, err)
	}
}

func FuzzParseJoinToken(f *testing.F) {
	text := NewJoinToken([]string{"192.0.2.1:8440"}, [32]byte{}).Text()
	for _, seed := range []string{text, text[:50], "wjt2." + text[5:], "wjt1.", "", NewJoinToken([]string{"[::1]:1", "a:2"}, [32]byte{1}).Text()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseJoinToken(text)
		if err != nil {
			return
		}
		if again, err := ParseJoinToken(token.Text()); err != nil || fmt.Sprint(tokenForm(again)) != fmt.Sprint(tokenForm(token)) {
			t.Errorf("%q: %v, %v", text, again, err)
		}
	})
}
