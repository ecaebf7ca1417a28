//go:build !(linux && amd64)

package wherry

import "errors"

// exchange is Wherry's alone.
func exchange(_, _, _ []byte) (int, error) { return 0, errors.ErrUnsupported }
