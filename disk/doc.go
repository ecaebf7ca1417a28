// Package disk keeps blobs on one or several disks, in a log.
//
// A blob has a key, a variant (several blobs may share a key), a head of some KiB and a body of any size that fits a segment. The
// room knows nothing of HTTP: cache puts stored responses here as its second tier and gets them back after a restart.
//
// It promises: what Get returns was put under that key and that variant, whole; a byte of a body is handed out only after the
// checksum of its block was right; what Remove dropped doesn't come back, whenever the process is killed after Remove returned; a
// kill loses at most what wasn't written yet; the bytes on a volume stay within its limit; a disk that is full, slow or broken
// costs its own blobs only, says so once in the log, and is taken back when it works again; no caller waits for a disk longer than
// the time that Options gives.
//
// It doesn't: compress, encrypt, share a directory with another process, or survive a power loss better than Options.SyncInterval
// says (what a power loss tears is found by checksums and dropped).
//
// Goroutines: Store.Run starts for each volume one that writes, evicts and heals, one that syncs, and Options.Readers that read;
// Put, Get and all others start none. What is lost if the process dies: the queue, the hot bits, and which blocks were verified.
//
// # Files
//
// A volume is a directory with a file named lock, and segments: files that are appended to until they are full, named by their
// number in 16 hex digits and ".seg". format.go draws them byte by byte. What has another name isn't touched.
package disk
