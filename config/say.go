package config

import (
	"fmt"

	"strings"

	"github.com/wherry/wherry/config/spell"
)

// quoted returns a value from the file as it may stand in a message: bounded and on one line.
func quoted(value string) string { return spell.Quoted(value) }

// either lists words as `a, b or c`.
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return fmt.Sprintf("%s or %s", strings.Join(words[:last], ", "), words[last])
}
