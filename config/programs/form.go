package programs

// Form is how a value is written that has no type of its own. Room config has it with its own forms.
type Form struct {
	Name    string   // in the reference and in messages, with its article
	Text    string   // for the reference: what is allowed
	Example string   // a right value
	JSON    []string // the JSON types by which it may arrive
	Pattern string   // a regular expression that every right string matches

	Wrong func(text string) (what, instead string)
}

var (
	onlyString = []string{"string"}
	anyScalar  = []string{"string", "integer", "number", "boolean"}
)

const notNUL = `^[^\x00]+$`

// FormOf is the form of a field of Program; of a map's names it is that of the field "by name".
func FormOf(field string) (f Form, ok bool) {
	switch field {
	case "Program.Image":
		return Form{
			"an image", "the path of a static ELF file, of a tar archive, or of a directory, from the directory of the configuration; or `sha256:` and 64 lower-case hexadecimal digits",
			"./hello", onlyString, notNUL, WrongImage,
		}, true
	case "Program.Files":
		return Form{"a directory of files", "a path, from the directory of the configuration", "./files", onlyString, notNUL, wrongFiles}, true
	case "Program.Executable":
		return Form{
			"an executable", "a path in the image, or the name of a file in one of the directories where programs are, such as `/usr/sbin`", "/usr/sbin/nginx",
			onlyString, notNUL, wrongExecutable,
		}, true
	case "Program.Secrets":
		return Form{
			"a secret", "the path of a file with its value, from the directory of the configuration; or `secret:` and the name of one that control keeps",
			"./api.key", anyScalar, notNUL, WrongSecret, // anyScalar: else an error would repeat what may be the secret
		}, true
	case "Program.Args", "Program.Env":
		return Form{"a text", "anything without NUL", "text", anyScalar, `^[^\x00]*$`, WrongText}, true
	case "Program.Env by name", "Program.Secrets by name":
		return Form{"a variable", "the name of an environment variable", "LANG", onlyString, Variable.String(), WrongVariable}, true
	}
	return Form{}, false
}
