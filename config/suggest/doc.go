// Package suggest finds the word that a mistyped one was probably meant to be, for messages of the kind "did you mean". It is pure, and bounded in
// what it compares.
package suggest
