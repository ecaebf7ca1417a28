// Package vdso makes the shared object that Linux gives each program, by which it reads the time without a system call.
//
//	start − PageSize   the data page, which the program can only read: Page
//	start              an ELF64 shared object of one page: __vdso_clock_gettime, __vdso_gettimeofday, __vdso_time, __vdso_clock_getres
//
// Object are its bytes, which are always the same and work at any address. The functions read the time-stamp counter and make nanoseconds of it by what the
// data page says. Where that says it can't be done, and for the clocks of CPU time, they make the system call. Whoever changes the data page does it while
// no processor runs the program: a function that was stopped on the way finds another number of Sequence, and begins again.
//
// It promises that Go's runtime, musl and glibc find the functions (version LINUX_2.6, by DT_HASH). It knows no machine and no clock. It starts no
// goroutines.
package vdso
