// Package space is the address space of a Linux program: which ranges of virtual memory there are, and which pages have memory.
//
//	areas: what mmap, brk and the loader say      start ── end, protection, what pages begin with
//	pages: what page tables say                   an entry for a page that was touched, with a frame of the machine's memory
//
// The areas decide. A page gets its frame at the first fault, and pages around it with it, more when the program goes on from there; an access that its
// area doesn't allow is the caller's to make a signal of. Whoever reads or writes for the program (CopyIn, CopyOut) may do what the program may.
//
// Frames and page tables aren't taken back by Restore: under shadow paging it is slow to take an entry away, and the next request wants it again. So a
// page that was mapped since the checkpoint stays in the tables, as zeros, even if no area has it; and a frame that a checkpoint has never serves another
// address. When frames run out, those that no area has are taken back.
//
// It promises that the program reaches no memory but its own frames, that pages are zeros (or their file's bytes) when they come, and the limits: frames
// of the size given, areas, mapped files (SourcesMax, SourceBytesMax). It doesn't do large pages, shared mappings that write to files, or locks of pages.
//
// A Space belongs to the goroutine that runs the program. It starts no goroutines.
package space
