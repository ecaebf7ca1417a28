// Package typo finds what a mistyped word was probably meant to be: of some candidates the one that is fewest edits away, if that is few for
// the word's length. It is pure, and bounded: long words have no neighbours.
package typo
