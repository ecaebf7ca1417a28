// Package garbage bounds how much of it a process keeps: much where it makes much, so that it is collected seldom, little where it does little.
//
// It promises nothing about memory that lives. Bound runs in its caller's goroutine; it is called once a process.
package garbage
