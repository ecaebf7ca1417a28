// Package after is context.AfterFunc for functions that mustn't outlive what they work on. The context's package runs its goroutines, one a call, which has ended when end has.
package after
