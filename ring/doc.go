// Package ring is the bounded buffer between senders and receivers, with its lock and its condition variables.
//
// Buffer[T] carries messages between goroutines of one program; Sender and Receiver carry records of bytes through memory that two programs
// share, or a guest and its host. All have the same words in memory and the same algorithm (end.go):
//
//	byte     0 │ magic, version   u32, u32      written by Format
//	         8 │ capacity         u64           messages, or bytes of records: a power of two
//	        64 │ lock             u32, u32      held, sleepers             ┐ the senders' own
//	        72 │ moved, limit     u64, u64      under the lock             ┘
//	       128 │ in               u64           units sent, ever           ┐ what the senders tell
//	       136 │ closed           u32           1 when they have gone      │ the receivers
//	       192 │ turn, waiting    u32, u32      where the senders wait     ┘
//	       256 │ lock …                         the receivers' own
//	       320 │ out, closed …                  what the receivers tell
//	       384 │ turn, waiting                  where the receivers wait
//	       448 │ records: length u64, bytes, zeros up to a multiple of 8; they go around the end
//
// in-out is how much there is. in is written by the senders, one at a time under their lock, and out by the receivers under theirs: the
// sides meet only at the two counters and the two condition variables. A side that finds the buffer full or empty announces itself (waiting),
// looks at the other's counter once more, releases its lock and sleeps, in one step as seen from the other side; who moves a counter looks at waiting
// after it. So no notification is lost and none is sent for nobody.
//
// The sides needn't trust each other. An end made by NewSender or NewReceiver uses nothing of what the other side can write but the other's counter,
// which must go up and by no more than there was room for, and lengths, which must lie within it. Else the end is broken (ErrBroken) for good. A
// side that doesn't wake the other, or holds what locks it can reach, makes the other wait for as long as its context says.
//
// It promises: what was sent is received once, in order; Send waits only while the buffer is full, Receive only while it is empty. It starts no
// goroutines. It has no priorities and no broadcast. Between processes that trust each other use JoinSender, JoinReceiver and Futex (Linux only).
package ring
