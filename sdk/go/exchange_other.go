//go:build !(linux && amd64)

package wherry

import "errors"

// exchange is Wherry's alone, as askEdge is.
func exchange(_, _, _ []byte) (int, error) { return 0, errors.ErrUnsupported }

func askEdge(_, _ []byte) (int, error) { return 0, errors.ErrUnsupported }
