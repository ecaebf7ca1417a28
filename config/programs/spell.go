package programs

import (
	"regexp"
	"strings"

	"github.com/wherry/wherry/config/spell"
)

// ImageHash is what stands before the hash of an image that the node has.
const ImageHash = "sha256:"

var (
	hash     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	secretID = regexp.MustCompile(`^[a-z2-7]{26}$`)
	// Variable is how names of environment variables are written.
	Variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// WrongImage says what is wrong with how an image is named, and what to write instead.
func WrongImage(text string) (what, instead string) {
	digits, named := strings.CutPrefix(text, ImageHash)
	switch {
	case named && !hash.MatchString(digits):
		return spell.Quoted(text) + " has no 64 lower-case hexadecimal digits behind sha256:", "write what `sha256sum FILE` prints"
	case spell.WrongFile(text):
		return spell.Quoted(text) + " is not the path of a file", "write one such as ./hello"
	}
	return "", ""
}

// wrongFiles says the same of how a directory of files is named.
func wrongFiles(text string) (what, instead string) {
	switch {
	case strings.HasPrefix(text, ImageHash):
		return spell.Quoted(text) + " is not the path of a directory", "leave it out: an image that is named by its hash has its files in it"
	case spell.WrongFile(text):
		return spell.Quoted(text) + " is not the path of a directory", "write one such as ./files"
	}
	return "", ""
}

// wrongExecutable says the same of a path in an image.
func wrongExecutable(text string) (what, instead string) {
	if spell.WrongFile(text) || strings.HasSuffix(text, "/") {
		return spell.Quoted(text) + " is not the path of a file in an image", "write one such as /usr/sbin/nginx"
	}
	return "", ""
}

// WrongSecret says the same of how a secret is named. What can be the secret itself, written there by mistake, isn't repeated.
func WrongSecret(text string) (what, instead string) {
	id, kept := KeptSecret(text)
	switch {
	case kept && !secretID.MatchString(id):
		return "has no name of a secret behind secret:", "have `wherry program secret set` write it"
	case spell.WrongFile(text) || strings.Contains(text, "\n"):
		return "is not the path of a file", "write one such as ./api.key, and the secret into that file"
	}
	return "", ""
}

// WrongText says what is wrong with an argument, or with the value of a variable.
func WrongText(text string) (what, instead string) {
	if strings.Contains(text, "\x00") {
		return spell.Quoted(text) + " has a NUL", "leave it out"
	}
	return "", ""
}

// WrongVariable says what is wrong with the name of a variable.
func WrongVariable(text string) (what, instead string) {
	if !Variable.MatchString(text) {
		return spell.Quoted(text) + " is not the name of a variable", "write letters, digits and _, such as LANG"
	}
	return "", ""
}
