// Package console is the command line of a network's operator: the commands of wherry that ask control, or as much of it as a process
// has, through the client of control/api: apply, diff, history, rollback, rollout, export, site, purge, status, node, token, audit,
// upgrade and control.
//
// It stands beside the house, below cmd/wherry, which finds the network that is meant and says how it is reached. A command reads flags and
// files, asks, and prints: tables and sentences for people, or with --json what the API answered, as it came. What is no part of an answer
// goes to standard error.
//
// It promises that exit status 0 means that what was asked for holds: a roll-out that was reverted, or an edge that didn't confirm a purge,
// is an error that says what to do next; that Ctrl-C ends the following of a roll-out and not the roll-out; that an export writes nothing
// outside its folder; and that a backup is whole or not there.
//
// The room starts no goroutines.
package console
