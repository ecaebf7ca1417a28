package store

import (
	"context"
	"fmt"
)

const (
	// partBytes is how much of something large one value has.
	partBytes = 128 << 10
	// partsAtOnce is how many parts one transaction has.
	partsAtOnce = 16
)

// PartsOf are the keys and values by which something large is kept below a key.
func PartsOf(key string, data []byte) []Put {
	var parts []Put
	for i, name := range PartKeys(key, int64(len(data))) {
		parts = append(parts, Put{Key: name, Value: data[i*partBytes : min(len(data), (i+1)*partBytes)]})
	}
	return parts
}

// PartKeys are the keys by which something of a size is kept.
func PartKeys(key string, size int64) []string {
	names := []string{fmt.Sprintf("%s/%04d", key, 0)}
	for i := int64(1); i*partBytes < size; i++ {
		names = append(names, fmt.Sprintf("%s/%04d", key, i))
	}
	return names
}

// PutParts keeps something large below a key that names its content: what is there already is the same.
func (s *Store) PutParts(ctx context.Context, key string, data []byte) error {
	parts := PartsOf(key, data)
	if _, ok, err := s.Get(ctx, parts[0].Key); err != nil || ok {
		return err
	}
	// The first part goes last: where it is, all are.
	for i := len(parts); i > 0; i -= partsAtOnce {
		if _, err := s.Commit(ctx, Txn{Put: parts[max(0, i-partsAtOnce):i]}); err != nil {
			return err
		}
	}
	return nil
}

// Parts reads what PutParts has kept; ok is false if there is nothing.
func (s *Store) Parts(ctx context.Context, key string) (data []byte, ok bool, err error) {
	_, err = s.All(ctx, key+"/", func(kv KV) error {
		ok, data = true, append(data, kv.Value...)
		return nil
	})
	return data, ok, err
}
