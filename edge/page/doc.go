// Package page writes the error pages of an edge: what went wrong, whose fault it is and who can do something about it, in HTML for browsers and in
// text for programs.
//
// It is pure. Nothing on a page comes from behind the edge, and all that comes from a client is escaped.
package page
