// Package rootfs reads and makes images of programs that have files: tar archives of a root file system, as docker export writes them.
//
//	image of a program ─┬─ an ELF file: the program, which has no files
//	                    └─ a tar archive ─Read─▶ FS: an fs.FS from "/" on, and the program in it
//	a directory, an ELF file ─Pack─▶ a tar archive, of which the ELF file is /program
//
// Promises. What an FS gives is the archive's own bytes, not copied and never to be changed. Archives may be anybody's: a name leads to no place but one below the
// root, whatever it says, and what can't be a file of a guest is an error that says what to do. Of several entries with a name the last one counts, as with tar.
// The same directory (names, contents, permissions, links, seconds of the files' times) makes the same archive.
//
// It doesn't know where guests may write, nor what /dev, /proc and /sys have: entries there are left out. Owners and extended attributes aren't read.
//
// Bounds: SizeMax bytes, EntriesMax entries. An FS is immutable, good for any number of goroutines. This room starts none.
package rootfs
