package emu

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// doCRC32 is CRC-32C, without the inversions that Go's has at both ends.
func doCRC32(c *VCPU, o *op) bool {
	sum, v := uint32(c.file[o.d&regMask]), c.file[o.s&regMask]
	for range o.from {
		sum = castagnoli[byte(sum)^byte(v)] ^ sum>>8
		v >>= 8
	}
	c.put(o.d, uint64(sum), 8)
	return true
}
