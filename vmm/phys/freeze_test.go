package phys

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestFreeze has a second memory begin with what the first one holds: written pages, those of its image, swapped ones and zeros.
func TestFreeze(t *testing.T) {
	first, err := NewImage([]byte("from the image"))
	if err != nil {
		t.Fatal(err)
	}
	swap, err := os.Create(filepath.Join(t.TempDir(), "swap"))
	if err != nil {
		t.Fatal(err)
	}
	defer swap.Close()
	m := New(Options{BudgetPages: 3, Swap: swap})
	slot, err := m.Add(Spec{Base: 0x10000, Size: 16 * PageSize, Image: first})
	if err != nil {
		t.Fatal(err)
	}
	want := map[Addr]string{0x10000: "from the image"}
	for _, page := range []Addr{2, 3, 5, 7, 9} {
		a := slot.Base + page*PageSize
		want[a] = "written at " + string(rune('a'+page))
		if err := m.WriteAt([]byte(want[a]), a); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.WriteAt(make([]byte, 10), slot.Base+12*PageSize); err != nil { // zeros are nothing
		t.Fatal(err)
	}
	frozen, err := m.Freeze(slot)
	if err != nil {
		t.Fatal(err)
	}
	if got := frozen.Size(); got != 10*PageSize {
		t.Errorf("the image has %d bytes, want what isn't zeros at the end, %d", got, 10*PageSize)
	}
	copied := transcribe(t, frozen)
	for _, image := range []*Image{frozen, copied} {
		second := New(Options{})
		if _, err := second.Add(Spec{Base: slot.Base, Size: slot.Size, Image: image}); err != nil {
			t.Fatal(err)
		}
		for a, text := range want {
			got := make([]byte, len(text))
			if err := second.ReadAt(got, a); err != nil || string(got) != text {
				t.Errorf("at %#x: %q, %v; want %q", a, got, err, text)
			}
		}
		if err := errors.Join(second.Close(), image.Close()); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(m.Close(), first.Close()); err != nil {
		t.Error(err)
	}
}

// transcribe copies an image page by page, as a file would carry it.
func transcribe(t *testing.T, i *Image) *Image {
	t.Helper()
	type page struct {
		at       int
		contents []byte
	}
	var pages []page
	for at, contents := range i.Pages {
		pages = append(pages, page{at, contents})
	}
	if len(pages) != 6 {
		t.Errorf("%d pages with something in them, want 6", len(pages))
	}
	copied, err := ReadImage(i.Size(), func(contents *[PageSize]byte) (int, error) {
		if len(pages) == 0 {
			return 0, io.EOF
		}
		p := pages[0]
		pages = pages[1:]
		copy(contents[:], p.contents)
		return p.at, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return copied
}

func TestReadImageRefusesPagesBeyondItsEnd(t *testing.T) {
	if _, err := ReadImage(PageSize, func(*[PageSize]byte) (int, error) { return 1, nil }); err == nil {
		t.Error("page 1 of an image of one page was taken")
	}
}

// TestShare has machines of an image tell each other what they know of it, within a bound for all images.
func TestShare(t *testing.T) {
	one, err := NewImage([]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	other, _ := testImage(t, 1)
	one.Share(1, "a", 10)
	one.Share(1, "b", 10) // it's known
	other.Share(1, "c", 10)
	if got := one.Shared(1); got != "a" {
		t.Errorf("%v", got)
	}
	if got := other.Shared(2); got != nil {
		t.Errorf("%v", got)
	}
	one.Share(2, "large", sharedMax)
	other.Share(2, "more", 1)
	if one.Shared(2) != "large" || other.Shared(2) != nil {
		t.Error("more is shared than there is room for")
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if other.Share(2, "more", 1); other.Shared(2) != "more" {
		t.Error("an image that is gone takes room")
	}
}
