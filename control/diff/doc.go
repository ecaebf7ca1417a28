// Package diff shows how two texts differ, line by line, in the unified format that patch(1) takes. It is pure and starts nothing.
package diff
