package file

import "github.com/wherry/wherry/vmm/linux/tree"

const (
	pageSize      = tree.PageSize
	pipeSize      = 64 << 10
	pipeSizeMax   = 1 << 20 // fs.pipe-max-size: EPERM
	epollNestsMax = 4       // EP_MAX_NESTS: ELOOP
	procSizeMax   = 1 << 20 // bytes of a file of /proc: cut
	snapshotMax   = 1 << 30 // bytes of a file mapped at once: ENOMEM
	copyChunk     = 64 << 10
)

// What st_dev says of pipes, and of things without a name; sockets and files have higher ones.
const (
	devPipes     = 2
	devAnonymous = 3
)
