package ledger

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
