package compute

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/wherry/wherry/vmm/backend"
)

// What a program writes has the names of its secrets in the place of their values, and is else as it was.
func TestHush(t *testing.T) {
	p := Program{Env: []string{"SHORT=abc", "KEY=0123456789", "LONGER=0123456789=x", "PLAIN=not a secret"}, Secrets: []string{"KEY", "LONGER", "SHORT"}}
	for text, want := range map[string]string{
		"":                        "",
		"abc, not a secret":       "abc, not a secret",
		"key 0123456789.":         "key [KEY].",
		"0123456789=x 0123456789": "[LONGER] [KEY]",
		"012345678":               "012345678",
	} {
		if got := p.hush(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// A program that can't keep its secret has it neither in an error nor in a log.
func TestSecretsInWhatIsSaid(t *testing.T) {
	const value = "no luck at the start"
	var log, heard bytes.Buffer
	h := running(t, Options{
		Machine: backend.Emulator, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Said: func(_, text string) { heard.WriteString(text) },
	})
	p := guest(t)
	p.Env, p.Secrets = append(p.Env, "START=fail", "KEY="+value), []string{"KEY"}
	if _, err := h.Deploy(t.Context(), p); err == nil || !strings.Contains(err.Error(), `it said: "[KEY]`) || strings.Contains(err.Error(), value) {
		t.Errorf("at the start: %v", err)
	}
	p.Env[len(p.Env)-2], p.Env[len(p.Env)-1] = "START=", "KEY=something to say"
	deploy(t, h, p)
	if _, err := get(h, "guest", "/say"); err != nil {
		t.Fatal(err)
	}
	if got := heard.String(); !strings.Contains(got, "[KEY]\n") || strings.Contains(got+log.String(), "something to say") {
		t.Errorf("in a request: %q", got)
	}
}
