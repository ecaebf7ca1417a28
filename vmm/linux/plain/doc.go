// Package plain is the system calls that are done at once: those on files, descriptors, sockets and what the machine is that never wait, send no signal, and concern
// no task. Each reads what its arguments point to, asks vmm/linux/file, and writes what that says.
//
// What waits is in vmm/linux, as waiting is a task's affair. It promises that nothing is read or written but what the program itself may, and that
// every length has a bound. It has no state and starts no goroutines.
package plain
