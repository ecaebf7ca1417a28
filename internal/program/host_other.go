//go:build !linux

package program

import (
	"errors"
)

func available() (int64, error) {
	return 0, errors.New("idle instances can be measured on Linux alone")
}
