// Package cputime is how long a thread has had a processor, its system calls included: what work costs, whatever else the host does. Who measures
// holds the thread (runtime.LockOSThread). On hosts other than Linux it is the time that has passed. It starts no goroutines.
package cputime
