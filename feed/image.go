package feed

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
)

// namedImage is how settings name an image.
var namedImage = regexp.MustCompile(programs.ImageHash + `([0-9a-f]{64})`)

// FindImages adds the images that a text names to a set: also one of settings that aren't right any more.
func FindImages(text []byte, to map[Hash]bool) {
	for _, found := range namedImage.FindAllSubmatch(text, -1) {
		var h Hash
		if h.UnmarshalText(found[1]) == nil {
			to[h] = true
		}
	}
}

// Names says whether what holds of documents for any node has the hash of an object in its text.
func (k *Keeper) Names(h Hash, keys ...string) bool {
	var refs []Ref
	k.View(func(s *State) { refs = s.Hold(keys...) })
	return slices.ContainsFunc(refs, func(r Ref) bool {
		text, err := k.Object(r.Object)
		return err == nil && bytes.Contains(text, []byte(h.String()))
	})
}

// ImagesOf returns the images of programs that settings name. A file is an error: nodes have none of whoever applied it.
func ImagesOf(n *config.Network) (list []Hash, err error) {
	for _, name := range slices.Sorted(maps.Keys(n.Programs)) {
		program := n.Programs[name]
		image := program.Image
		digits, named := strings.CutPrefix(image, programs.ImageHash)
		var h Hash
		if !named || h.UnmarshalText([]byte(digits)) != nil {
			how := fmt.Sprintf("%s %s", name, image)
			if program.Files != "" {
				how += " --files " + program.Files
			}
			return nil, fmt.Errorf("programs.%s.image: %s is a file, which nodes don't have: send it with wherry program deploy %s, which names it by its hash", name, image, how)
		}
		list = append(list, h)
	}
	return list, nil
}
