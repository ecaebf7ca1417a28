//go:build linux && !amd64

package confine

import "errors"

func filter() (int, error) {
	return 0, errors.New("there is no list for this processor: it is made for x86-64")
}
