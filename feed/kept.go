package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
)

// keptMax is the most that can be remembered under a name.
const keptMax = 16 << 20

var keptName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// Remember keeps data under a name for the next process, in place of what was there. Lower case, digits and dashes make a name.
func (k *Keeper) Remember(name string, data []byte) error {
	if !keptName.MatchString(name) {
		panic("BUG: feed: a name to remember by: " + name)
	}
	if len(data) > keptMax {
		return fmt.Errorf("remember %s: %d bytes, more than %d", name, len(data), keptMax)
	}
	// The file is CRC-32C of the data (4, big endian), then the data.
	b := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), sum(nil, data)), data...)
	if err := k.writeFile(k.path(keptDir, name), b); err != nil {
		return fmt.Errorf("remember %s: %w", name, err)
	}
	return nil
}

// Recall returns what was remembered; nil if nothing was, or if it isn't what it was.
func (k *Keeper) Recall(name string) ([]byte, error) {
	b, err := readBounded(k.path(keptDir, name), 4+keptMax)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil && !errors.Is(err, errTooLong):
		return nil, fmt.Errorf("recall %s: %w", name, err)
	case err != nil, len(b) < 4, binary.BigEndian.Uint32(b) != sum(nil, b[4:]):
		k.o.Log.Warn("what was remembered isn't right any more; it is left out", "file", k.path(keptDir, name))
		return nil, nil
	}
	return b[4:], nil
}
