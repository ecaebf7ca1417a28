package programs

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	// SecretName is what stands before the name of a secret that control keeps.
	SecretName = "secret:"
	// SecretMax is how many bytes the content of a secret may have.
	SecretMax = 64 << 10
	// SecretsMax is how many secrets a program may have.
	SecretsMax = 64
)

// SecretValue is the value of a variable that content is of, or what is wrong with it; that never has a part of the content.
func SecretValue(content []byte) (value, wrong string) {
	switch {
	case len(content) > SecretMax:
		return "", fmt.Sprintf("has more than %d KiB", SecretMax>>10)
	case bytes.IndexByte(content, 0) >= 0:
		return "", "has a NUL, which no variable can have"
	}
	line, ended := bytes.CutSuffix(content, []byte("\n"))
	if ended {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	if len(line) == 0 {
		return "", "is empty"
	}
	return string(line), ""
}

// KeptSecret returns the name by which control keeps a secret, of what a program's secrets say; ok is false if that is a file.
func KeptSecret(text string) (id string, ok bool) { return strings.CutPrefix(text, SecretName) }
