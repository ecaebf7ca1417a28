package phys

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Image is what slots begin with: bytes that any number of machines share until they write to them. It can't change.
type Image struct {
	fd    int // what slots map; of the host
	size  int
	bytes []byte       // once it is sealed
	users atomic.Int32 // slots that have it

	mu     sync.RWMutex // guards what follows
	shared map[any]any  // see Share
	weight int64        // bytes of it
}

// sharedMax bounds what machines share by all images.
const sharedMax = 64 << 20

var sharedBytes atomic.Int64

// Shared is what a machine has shared with others that have i, nil if none has. Machines may ask in several goroutines.
func (i *Image) Shared(key any) any {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.shared[key]
}

// Share keeps what a machine has found out about i's bytes, for others that have it, as long as there is room for its bytes. It mustn't change any more.
func (i *Image) Share(key, value any, bytes int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.shared == nil {
		i.shared = map[any]any{}
	}
	if _, had := i.shared[key]; had || sharedBytes.Load() > sharedMax {
		return
	}
	i.shared[key] = value
	i.weight += int64(bytes)
	sharedBytes.Add(int64(bytes))
}

// NewImage copies contents, rounded up to whole pages with zeros, into an image.
func NewImage(contents []byte) (*Image, error) {
	size := (len(contents) + PageSize - 1) &^ (PageSize - 1)
	if size == 0 || size > slotSizeMax {
		return nil, fmt.Errorf("an image of %d bytes: give it 1 to %d", len(contents), slotSizeMax)
	}
	i, err := newImage(size)
	if err != nil {
		return nil, fmt.Errorf("making an image of %d bytes: %w", size, err)
	}
	if err := errors.Join(i.write(contents, 0), i.seal()); err != nil {
		return nil, errors.Join(fmt.Errorf("making an image of %d bytes: %w", size, err), i.free())
	}
	return i, nil
}

// Size is i's length in bytes, whole pages.
func (i *Image) Size() int { return i.size }

// Close lets go of i. It fails while slots have it: they are restored from it.
func (i *Image) Close() error {
	if n := i.users.Load(); n > 0 {
		return fmt.Errorf("an image is in use by %d slots; close their machines first", n)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	sharedBytes.Add(-i.weight)
	i.shared, i.weight = nil, 0
	return i.free()
}
