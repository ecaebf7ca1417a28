package console

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Secrets of programs that lie beside exported settings are sent where control hasn't got them, and the settings name them anew; those that it has aren't touched. A dry run sends none.
func TestSecretsOfAnExportAreApplied(t *testing.T) {
	dir := t.TempDir()
	known, unknown := "abcdefghijklmnopqrstuvwxyz", strings.Repeat("b", 26)
	settings := "zone: cdn.test\nprograms:\n  cart:\n    image: \"sha256:" + strings.Repeat("a", 64) + "\"\n    secrets: {API_KEY: \"secret:" + known + "\", DSN: \"secret:" + unknown + "\"}\n"
	for name, text := range map[string]string{"network.yaml": settings, "secrets/" + known: "the one that control has", "secrets/" + unknown: "postgres://"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := newOffice(t)
	if _, notes, status := o.enter(t.Context(), "", "diff", "-f", dir); status == 2 {
		t.Fatal(notes)
	}
	if said := strings.Join(o.said, "\n"); strings.Contains(said, "secret DSN") {
		t.Errorf("diff has sent a secret: %s", said)
	}
	o.said = nil
	if _, notes, status := o.enter(t.Context(), "", "apply", "-f", dir, "--no-wait"); status != 0 {
		t.Fatal(notes)
	}
	said := strings.Join(o.said, "\n")
	if !strings.Contains(said, `secret DSN of cart with "postgres://"`) || strings.Contains(said, "secret API_KEY") {
		t.Errorf("not what control lacks alone was sent: %s", said)
	}
	if strings.Contains(said, unknown) || !strings.Contains(said, `DSN: \"secret:`+known) || !strings.Contains(said, "[]") {
		t.Errorf("the settings name what this network hasn't got, or have files: %s", said)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets", unknown), make([]byte, 1<<17), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, notes, status := o.enter(t.Context(), "", "apply", "-f", dir); status == 0 || !strings.Contains(notes, "DSN of program cart") {
		t.Errorf("a value that can't be one: %d %s", status, notes)
	}
}
