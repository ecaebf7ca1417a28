// Package file is the files and descriptors of one guest process: what open, read, epoll_wait and their like do, with no real file behind them.
//
// A Table has one tree of files (vmm/linux/tree), one network of sockets (vmm/linux/socket) and one table of descriptors, which are of files and directories of
// the tree, devices, pipes, sockets, eventfds, timerfds, epoll instances and the three standard streams. What all these have used of the limits, and the log
// that leads back to the last checkpoint, is one ledger (vmm/linux/ledger). This room says what the tree's files of /proc and /sys hold.
//
// It knows nothing of processors, tasks and guest addresses. Nothing blocks: EAGAIN means that the call can't go on now, whatever O_NONBLOCK says, and
// Blocking says whether the program wants to wait. Then the caller parks the task and makes the call again when Version has changed or NextTimer is due.
//
// Time is a value: SetNow. Random bytes, the lines of /proc/self/maps and the like come from functions that the caller gives.
//
// Bounds: every table, queue, buffer and name has a limit in Limits or a constant in the limits.go of its room; passing one is the error that Linux has for it.
// Output beyond its limit is refused and Exceeded names the limit.
//
// Checkpoint and Restore take a process back to where it was. The first change of an object after a checkpoint keeps what it was; Restore of the last
// checkpoint puts back those that changed and looks at no others. Restore of another one, or in another Table, builds everything anew from its bytes.
//
// What isn't here: permissions beyond read-only (the program is root), several processes, file locks that anybody could wait for, devices that block,
// datagram sockets, descriptors sent over sockets, a network (Dial is the only way in, and the gate the only way out).
//
// A Table belongs to one goroutine. A Conn is its Table's: the same goroutine. An Image is immutable. This room starts no goroutines.
package file
