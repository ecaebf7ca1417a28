package assembly

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/feed"
)

// names of secrets
const (
	first  = "aaaaaaaaaaaaaaaaaaaaaaaaaa"
	second = "bbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// settingsWith has a program whose KEY is a secret.
func (b *bench) settingsWith(revision uint64, secret string) feed.Ref {
	image := feed.HashOf([]byte("image"))
	b.images.has = []feed.Hash{image}
	return feed.Ref{Revision: revision, Object: b.put([]byte("zone: cdn.test\nprograms: {hello: {image: \"sha256:" + image.String() + "\", secrets: {KEY: \"" + secret + "\"}}}\n"))}
}

// keyFile is where the snapshot has KEY.
func keyFile(t *testing.T, s *config.Snapshot) (file, content string) {
	t.Helper()
	file = s.Programs["hello"].Secrets["KEY"]
	data, err := os.ReadFile(file)
	info, _ := os.Stat(file)
	if err != nil || !filepath.IsAbs(file) || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v", file, err)
	}
	return file, string(data)
}

// The settings that hold have their secrets on the disk, for this user alone; others go. What can't be had is waited for.
func TestSecretsAreOnTheDisk(t *testing.T) {
	b := newBench(t)
	has := map[string]string{first: "one"}
	asked := 0
	b.o.Secrets = &Secrets{Dir: filepath.Join(b.dir, "secrets"), Get: func(_ context.Context, id string) ([]byte, error) {
		asked++
		if value, ok := has[id]; ok {
			return []byte(value), nil
		}
		return nil, errors.New("this secret isn't for lisbon-1")
	}}
	b.docs[feed.KeyNetwork] = feed.Doc{Ref: b.settingsWith(1, programs.SecretName+first)}
	b.update()
	before, content := keyFile(t, b.Snapshot())
	if content != "one" {
		t.Errorf("%q", content)
	}
	b.docs[feed.KeyNetwork] = feed.Doc{Ref: b.settingsWith(2, programs.SecretName+second)}
	b.update()
	if w := b.Waiting(); len(w) != 1 || !strings.Contains(w[0], "secret:"+second+": this secret isn't for lisbon-1") {
		t.Errorf("waiting for %q", w)
	}
	if _, content := keyFile(t, b.Snapshot()); content != "one" {
		t.Errorf("%q while it waits", content)
	}
	has[second] = "two"
	b.update()
	if _, content := keyFile(t, b.Snapshot()); content != "two" {
		t.Errorf("%q after it came", content)
	}
	if _, err := os.Stat(before); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a secret that nothing names is there: %v", err)
	}
	clear(has)
	asked = 0
	secrets := b.o.Secrets
	b.start(nil)
	b.o.Secrets = secrets
	b.update()
	if _, content := keyFile(t, b.Snapshot()); content != "two" || asked != 0 {
		t.Errorf("%q after a start without control, which was asked %d times", content, asked)
	}
	b.docs[feed.KeyNetwork] = feed.Doc{Ref: b.settingsWith(3, "./key")}
	b.update()
	b.expect("", feed.KeyNetwork)
}

// What is tried has the secrets that came with it, and leaves none behind.
func TestSecretsOfWhatIsTried(t *testing.T) {
	b := newBench(t)
	b.o.Secrets = &Secrets{Dir: filepath.Join(b.dir, "secrets"), Get: func(context.Context, string) ([]byte, error) { return nil, errors.New("nobody is asked") }}
	b.update()
	object := b.objects[b.settingsWith(2, programs.SecretName+first).Object]
	s, clean, err := b.Try(t.Context(), feed.KeyNetwork, object, map[string][]byte{programs.SecretName + first: []byte("tried")})
	if err != nil {
		t.Fatal(err)
	}
	file, content := keyFile(t, s)
	if content != "tried" {
		t.Errorf("%q", content)
	}
	clean()
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left behind: %v", err)
	}
	_, clean, err = b.Try(t.Context(), feed.KeyNetwork, object, nil)
	clean()
	if !Missing(err) {
		t.Errorf("without it: %v", err)
	}
}

// A node that runs no programs asks for no secrets.
func TestNoSecretsWithoutPrograms(t *testing.T) {
	b := newBench(t)
	b.o.Images = nil
	b.docs[feed.KeyNetwork] = feed.Doc{Ref: b.settingsWith(1, programs.SecretName+first)}
	b.update()
	if got := b.Snapshot().Programs["hello"].Secrets["KEY"]; got != programs.SecretName+first {
		t.Errorf("%q", got)
	}
}
