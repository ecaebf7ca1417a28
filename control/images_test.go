package control

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
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

// Control gives an image that no settings name to edges, one of which may be trying it, and to no others but control; what settings name is for all nodes.
func TestWhoGetsAnImage(t *testing.T) {
	c := newControl(t)
	expect := func(when string, h feed.Hash, status int, roles ...feed.Role) {
		t.Helper()
		if w := c.askFor(t, "lisbon-2", "programs/"+h.String(), roles...); w.Code != status {
			t.Errorf("%s: %d %s", when, w.Code, w.Body)
		}
	}
	tried, named := c.mustPutImage(t, "tried"), c.mustPutImage(t, "named")
	c.mustApply(t, api.Document{Name: "network", YAML: "zone: cdn.test\nprograms: {hello: {image: \"sha256:" + named.String() + "\"}}\n"})
	expect("an edge that tries it", tried, http.StatusOK, feed.RoleEdge)
	expect("a control node", tried, http.StatusOK, feed.RoleControl)
	expect("a relay, of what nothing names", tried, http.StatusForbidden, feed.RoleRelay, feed.RoleDNS)
	expect("a relay", named, http.StatusOK, feed.RoleRelay)
}

// Settings name images that control has, by their hash.
func TestSettingsNameImages(t *testing.T) {
	c := newControl(t)
	network := func(image string) api.ApplyRequest {
		return api.ApplyRequest{Emergency: true, Documents: []api.Document{{Name: "network", YAML: "zone: cdn.test\nprograms: {hello: {image: \"" + image + "\"}}\n"}}}
	}
	image, h := elf("hello")
	_, err := c.Apply(t.Context(), admin, network("sha256:"+h.String()))
	refusedWith(t, err, http.StatusUnprocessableEntity, "control has no image sha256:"+h.String(), "wherry program deploy")
	_, err = c.Apply(t.Context(), admin, network("./hello"))
	refusedWith(t, err, http.StatusUnprocessableEntity, "wherry program deploy hello ./hello")
	if _, err := c.PutImage(t.Context(), admin, h, bytes.NewReader(image)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Apply(t.Context(), admin, network("sha256:"+h.String())); err != nil {
		t.Fatal(err)
	}
	if list, err := c.Images(t.Context(), admin); err != nil || len(list) != 1 || !list[0].Named {
		t.Errorf("%+v, %v", list, err)
	}
	tried := c.mustPutImage(t, "that nothing names")
	if !c.o.Keeper.Names(h, feed.KeyNetwork) || c.o.Keeper.Names(tried, feed.KeyNetwork) {
		t.Error("relays are given what no settings name, or aren't given what they do")
	}
	if !c.IsImage(h) || !c.IsImage(tried) || c.IsImage(feed.HashOf([]byte("a page"))) {
		t.Error("images go by the feed as other objects do, or other objects don't")
	}
}
