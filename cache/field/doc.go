// Package field reads the fields that caching is about: Cache-Control and its targeted kin, dates, ranges, conditions; and it knows which
// fields end at this hop, describe content, or say who forwarded a message.
//
// It is a chamber of room cache: foreign bytes in, values out. It promises that no input panics or makes it keep more than the input,
// and that what can't be read counts as the RFC of the field says, which is most often the reading that shares less. It decides
// nothing, does no I/O, and starts no goroutines.
package field
