// Package apart runs compute.Host in a process of its own, the monitor, and offers what it offers: internal/programs takes either.
//
//	edge ─▶ Host ─┬ RoundTripper ─▶ stream ═══ two rings (link) ═══▶ monitor: compute.Host ─▶ machines
//	              ├ Prepare ─▶ Change: Commit, Drop
//	              └ supervise: start ─▶ confine ─▶ restore ─▶ serve ─▶ died ─▶ start …
//
// The monitor is this program, started again. Before it reads anything that others have written it gives up all that it doesn't need (internal/confine). The programs' images are kept here, so that
// another monitor can have them.
//
// Promises. When the monitor ends, whatever the reason, requests that it was answering fail at once with 502, may be tried again, and are counted as errors "monitor"; another one is started and
// boots the programs, and requests that come meanwhile wait for it within their limit of wall time. One that dies three times in a row before it is ten seconds old is started again
// after 1 s, then 2, up to 30 s. Counts never go back: those of monitors before are added, but for what was counted after they were last asked, at most countEvery before. A monitor that breaks the rules of
// the rings is ended, as is one that hasn't said its counts for 20 s, and one in which a program's turn goes on 10 s after its end ends itself. It ends when this process does.
//
// Prepare starts the supervisor, the first time that there are programs; Close, or the end of Run, ends it and all that it has started.
package apart
