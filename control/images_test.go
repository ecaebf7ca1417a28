package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

// elf is something that may be a program.
func elf(more string) ([]byte, feed.Hash) {
	image := append(bytes.Clone(elfMagic), more...)
	return image, feed.HashOf(image)
}

func (c *Control) mustPutImage(t *testing.T, more string) feed.Hash {
	t.Helper()
	image, h := elf(more)
	if _, err := c.PutImage(t.Context(), admin, h, bytes.NewReader(image)); err != nil {
		t.Fatal(err)
	}
	return h
}

// An image that was sent is there by its hash, and nothing else is.
func TestImages(t *testing.T) {
	c := newControl(t)
	h := c.mustPutImage(t, "hello")
	var got bytes.Buffer
	if err := c.Image(t.Context(), admin, h, &got); err != nil || got.String() != "\x7fELFhello" {
		t.Errorf("%q, %v", got.String(), err)
	}
	if _, err := c.PutImage(t.Context(), admin, h, strings.NewReader("isn't read again")); err != nil {
		t.Errorf("the same again: %v", err)
	}
	list, err := c.Images(t.Context(), admin)
	if err != nil || len(list) != 1 || list[0].Hash != h || list[0].Size != 9 || list[0].Author != "ann" || list[0].Named {
		t.Errorf("%+v, %v", list, err)
	}
	other, wanted := elf("another")
	other[5]++
	_, err = c.PutImage(t.Context(), admin, wanted, bytes.NewReader(other))
	refusedWith(t, err, http.StatusUnprocessableEntity, "isn't "+wanted.String())
	_, err = c.PutImage(t.Context(), admin, feed.HashOf([]byte("#!/bin/sh")), strings.NewReader("#!/bin/sh"))
	refusedWith(t, err, http.StatusUnprocessableEntity, "ELF")
	refusedWith(t, c.Image(t.Context(), admin, wanted, io.Discard), http.StatusNotFound, "wherry program deploy")
	if c.o.Keeper.HasObject(wanted) || c.o.Keeper.HasObject(feed.HashOf(other)) {
		t.Error("what was refused is kept")
	}
}

// Who may read alone, or deploy some sites alone, sends no images; the refusal is recorded.
func TestWhoMaySendImages(t *testing.T) {
	c := newControl(t)
	image, h := elf("hello")
	for _, can := range []api.Scope{
		{Verbs: []api.Verb{api.Read}}, {Verbs: []api.Verb{api.Deploy}, Sites: []config.SiteName{"shop"}},
	} {
		_, err := c.PutImage(t.Context(), api.Actor{Name: "ci", Can: can}, h, bytes.NewReader(image))
		refusedWith(t, err, http.StatusForbidden, "ci")
	}
	records, err := c.Audit(t.Context(), admin, api.AuditQuery{Actor: "ci"})
	if err != nil || len(records) != 2 || records[0].Action != "put image" || records[0].Refused == "" {
		t.Errorf("%+v, %v", records, err)
	}
}

// remember has the store say that there is a large image, of which nobody has the bytes.
func (c *Control) remember(t *testing.T, h feed.Hash, size int64, age time.Duration) {
	t.Helper()
	if _, err := c.o.Store.Commit(t.Context(), store.Txn{Put: []store.Put{put(imageKey(h), imageRecord{Size: size, At: c.now().Add(-age)})}}); err != nil {
		t.Fatal(err)
	}
}

// Images have a quota: what settings name stays, what nothing names makes room, and when nothing is left to go, who sends more is told.
func TestImagesQuota(t *testing.T) {
	c := newControl(t)
	old := c.mustPutImage(t, "old")
	c.remember(t, old, 7, 2*imageGrace)
	named := feed.HashOf([]byte("named"))
	c.remember(t, named, imagesQuota-10, 2*imageGrace)
	c.mustApply(t, api.Document{Name: "network", YAML: "zone: cdn.test\n# before: sha256:" + named.String() + "\n"})

	image, h := elf(strings.Repeat("x", 7))
	_, err := c.PutImage(t.Context(), admin, h, bytes.NewReader(image))
	refusedWith(t, err, http.StatusInsufficientStorage, "4096 MiB together", "remove programs")
	if c.o.Keeper.HasObject(h) {
		t.Error("what has no room is kept")
	}

	fits := c.mustPutImage(t, "fits!") // 9 bytes: the old one goes
	list, err := c.Images(t.Context(), admin)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, i := range list {
		if i.Hash != fits && (i.Hash != named || !i.Named) {
			t.Errorf("%+v", i)
		}
	}
	_ = c.syncImages(t.Context()) // nobody has the large one
	if c.o.Keeper.HasObject(old) || !c.o.Keeper.HasObject(fits) {
		t.Error("the disk hasn't followed")
	}
}

// A control node gets the images that were sent to another one.
func TestImagesAreOnEachControlNode(t *testing.T) {
	c := newControl(t)
	image, h := elf("hello")
	c.remember(t, h, int64(len(image)), 0)
	away := true
	c.o.Fetch = func(context.Context, feed.Hash) (io.ReadCloser, error) {
		if away {
			return nil, errors.New("away")
		}
		return io.NopCloser(bytes.NewReader(image)), nil
	}
	if err := c.syncImages(t.Context()); err == nil {
		t.Error("an image that can't be had isn't missed")
	}
	away = false
	if err := c.syncImages(t.Context()); err != nil {
		t.Fatal(err)
	}
	path, err := c.o.Keeper.ObjectPath(h)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, image) {
		t.Errorf("%q, %v", data, err)
	}
}
