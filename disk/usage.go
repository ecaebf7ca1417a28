package disk

import "time"

// Usage is what a Store holds.
type Usage struct {
	Blobs     int64
	Bytes     int64 // size of all segments
	BytesMax  int64
	Evictions int64 // blobs dropped to make room, since Open
	Queued    int64 // bytes that wait to be written
	Volumes   []VolumeUsage
}

// State is how a volume does.
type State string

// The states of a volume.
const (
	OK      State = "ok"
	Slow    State = "slow"    // doesn't answer in time: reads are tried one at a time, puts go elsewhere
	Failing State = "failing" // write errors: puts go elsewhere until a retry succeeds
	Full    State = "full"    // the file system has less room than BytesMax: the volume keeps to a lower limit
)

// VolumeUsage is what a volume holds and how it does.
type VolumeUsage struct {
	Dir       string
	State     State
	Since     time.Time // of State
	LastError string    // the last one, also if State is OK again; empty if there was none
	Blobs     int64
	Bytes     int64
	BytesMax  int64 // Volume.BytesMax, or lower while Full
}
