package programs

import (
	"fmt"
	"strings"
)

// Wrong is what is wrong between the keys of a program: by key below the program, what is wrong and what to do instead.
func (p *Program) Wrong() map[string][2]string {
	wrong := map[string][2]string{}
	if n := len(p.Secrets); n > SecretsMax {
		wrong["secrets"] = [2]string{fmt.Sprintf("has %d entries", n), fmt.Sprintf("write at most %d", SecretsMax)}
	}
	for name := range p.Secrets {
		if _, twice := p.Env[name]; twice {
			wrong["secrets."+name] = [2]string{"`env` has " + name + ", too", "remove one of them"}
		}
	}
	if p.Files == "" {
		return wrong
	}
	if strings.HasPrefix(p.Image, ImageHash) {
		wrong["files"] = [2]string{"doesn't go with an image that is named by its hash, which has its files in it", "remove it, or have image name the file of the program"}
	}
	if p.Executable != "" {
		wrong["executable"] = [2]string{"doesn't go with files: image is the program", "remove one of them"}
	}
	return wrong
}
