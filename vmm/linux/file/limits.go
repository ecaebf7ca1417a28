package file

import "cmp"

// Limits bound what a process can have. Zero takes the default.
type Limits struct {
	Descriptors int   // numbers of descriptors, RLIMIT_NOFILE: EMFILE. 1,024
	Files       int   // open files, pipes and sockets, whether or not they have a descriptor: ENFILE. 4,096
	Memory      int64 // bytes in memory file systems and memfds: ENOSPC. 64 MiB; as much again for what a checkpoint keeps
	Nodes       int   // files, directories and links in memory file systems: ENOSPC. 16,384
	Watches     int   // descriptors in all epoll instances: ENOSPC. 8,192
	Buffers     int64 // bytes in pipes and sockets: what is written beyond is EAGAIN. 16 MiB
	Stdin       int   // bytes given to WriteStdin and not read yet. 1 MiB
	Output      int64 // bytes written to stdout and stderr together: EIO beyond, and Exceeded. No limit when 0
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Descriptors: cmp.Or(max(l.Descriptors, 0), 1024), Files: cmp.Or(max(l.Files, 0), 4096), Memory: cmp.Or(max(l.Memory, 0), 64<<20),
		Nodes: cmp.Or(max(l.Nodes, 0), 16384), Watches: cmp.Or(max(l.Watches, 0), 8192), Buffers: cmp.Or(max(l.Buffers, 0), 16<<20),
		Stdin: cmp.Or(max(l.Stdin, 0), 1<<20), Output: max(l.Output, 0),
	}
}

const (
	pathMax         = 4096       // PATH_MAX, with the 0 behind it: ENAMETOOLONG
	nlinkMax        = 65000      // names of one file: EMLINK
	nameMax         = 255        // NAME_MAX: ENAMETOOLONG
	linksMax        = 40         // MAXSYMLINKS: ELOOP
	depthMax        = 256        // directories in one another in a memory file system: ENAMETOOLONG
	rwMax           = 0x7ffff000 // MAX_RW_COUNT: what one call moves at most
	pageSize        = 4096
	pipeSize        = 64 << 10
	pipeSizeMax     = 1 << 20   // fs.pipe-max-size: EPERM
	socketSize      = 208 << 10 // bytes that wait in one direction of a connection
	backlogMax      = 128       // connections not accepted yet, for each listening socket
	epollNestsMax   = 4         // EP_MAX_NESTS: ELOOP
	procSizeMax     = 1 << 20   // bytes of a file of /proc: cut
	snapshotMax     = 1 << 30   // bytes of a file mapped at once: ENOMEM
	imageFilesMax   = 65536
	imageBytesMax   = 512 << 20
	mountsMax       = 64
	copyChunk       = 64 << 10
	socketOptionMax = 16 // options of one socket that are kept
)
