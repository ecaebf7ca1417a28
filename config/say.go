package config

import "github.com/wherry/wherry/config/spell"

// quoted returns a value from the file as it may stand in a message: bounded and on one line.
func quoted(value string) string { return spell.Quoted(value) }
