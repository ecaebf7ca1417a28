// Package logs is the record of one request: its fields, their units, how they are written.
//
// On the path it stands last: edge fills a Record when the response has been sent and hands it to a Writer, which appends it to
// a file as one JSON line. The fields and their units are documented on Record, and nowhere else.
//
// It promises that Writer.Write never blocks and never keeps the request waiting: a Writer holds at most twice its buffer in
// memory, and what doesn't fit is dropped and counted (wherry_logs_dropped_total). A line is whole or absent, except that a
// failing disk can tear the last one; then the next line begins on a line of its own.
//
// It doesn't rotate files: whoever does renames the file and calls File.Reopen (SIGHUP). Records that are in the buffer when
// the process dies are lost; shipping them to somewhere safe is the job of logs/spool.
//
// It imports nothing of ours. Its one goroutine is Writer.Run.
package logs
