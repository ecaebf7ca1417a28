// Package confine takes from a process all that it doesn't need to compute: the network, files, other processes, its user's rights, most system calls.
//
//	Start: namespaces, from outside ─▶ Enter, in the process: empty root ─▶ user ─▶ no_new_privs ─▶ system calls (seccomp)
//
// What the host doesn't allow is left out, and said in the Report, with the reason: as root all of it works, without root what user namespaces give, and system
// calls everywhere.
//
// A system call that isn't on the list fails with EPERM and doesn't kill: a newer Go release or kernel that tries one more call has its way back, and who has taken over the process gains nothing
// by trying. The root is a directory that has been removed: there is nothing in it, and nothing can be made in it, without any mount.
//
// It is for processes without cgo: there it can't take the last capability from all threads, which no system call on the list uses. It starts no goroutines.
package confine
