// Package wherry is the root of an application delivery network in one binary; see README.md for what it does and
// ARCHITECTURE.md for the plan of the house.
//
// There is no Go API promise yet: the packages below are rooms of one program and change together.
package wherry
