// Package wire is what an edge and its monitor say to each other: frames, and what stands in their heads. compute/apart/link carries them.
//
// A frame is one record of a ring:
//
//	byte  0 │ kind u8, flags u8, zero u16
//	      4 │ n       u32   bytes of the head; with Credit the bytes that are given; with Tell the topic
//	      8 │ stream  u64   odd: the edge opened it, even: the monitor; 0 with Tell
//	     16 │ head, n bytes, with Open and Head
//	        │ body, up to the record's end, at most PieceMax bytes
//
// A small request is one Open and its response one Head, both with the flag End. Numbers are little-endian, in heads variable (encoding/binary's Uvarint).
//
// Promises. Parse, ParseRequest and ParseResponse take any bytes and return an error for what an honest side doesn't write. An error that crosses keeps what others
// ask of it: *fault.Error, *compute.LimitError, context's, io.ErrUnexpectedEOF.
//
// It starts no goroutines.
package wire
