// Package lines is the command lines of `wherry program run`, `bench` and `snapshot`: flags, help and reports, around room internal/program.
//
// Command lines that can't be understood are console.UsageError; a program's exit status is ExitStatus, for main to end with. It promises nothing else, decides nothing,
// and starts no goroutines.
package lines
