// Package images keeps the images of programs for nodes: in the store what there is, on each control node's disk the bytes.
//
//	image/HASH   a record: how large it is, who sent it, whether it went
//
// Promises. What is kept under a hash has it. Images together stay within Quota, but for one more of each control node that takes one at the same moment: what nothing names makes
// room, the oldest first, and who sends more is told. An image that was removed is remembered until all control nodes have dropped it, or for TombstoneFor.
//
// It doesn't know who may send images, nor what names one: Options.Named does. Run owns its goroutine, which gets the images that this control node lacks from others.
package images
