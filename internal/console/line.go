package console

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// UsageError is a command line that can't be understood.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong with it.
func (e UsageError) Unwrap() error { return e.Err }

var (
	// ErrReported ends a command that has already said what is wrong.
	ErrReported = errors.New("reported")
	// ErrTrouble marks the errors of a command to which status 1 means something else, as to diff: they end it with status 2.
	ErrTrouble = errors.New("trouble")
)

// ParseTarget reads the URL argument of a command.
func ParseTarget(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, UsageError{fmt.Errorf("%q: write an absolute URL, such as http://shop.test/logo.svg", raw)}
	}
	return u, nil
}

// OneOfItsCommands refuses what is left of the arguments of a command that only has others below it.
func OneOfItsCommands(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			names = append(names, below.Name())
		}
	}
	return UsageError{fmt.Errorf("there is no command %q; after %s comes one of %s", args[0], c.CommandPath(), strings.Join(names, ", "))}
}

// NoArgs is cobra.NoArgs with words.
func NoArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return UsageError{fmt.Errorf("%s takes no arguments, but there is %q", c.CommandPath(), args[0])}
	}
	return nil
}

// ExactlyOne is cobra.ExactArgs(1) with words.
func ExactlyOne(what string) cobra.PositionalArgs {
	return between(1, 1, "one "+what)
}

// between is cobra.RangeArgs with words.
func between(low, high int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return UsageError{fmt.Errorf("%s takes %s", c.CommandPath(), what)}
		}
		return nil
	}
}
