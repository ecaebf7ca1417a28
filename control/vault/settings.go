package vault

import (
	"context"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/feed"
)

// TogetherMax is how many bytes the secrets may have that settings name: an edge that tries settings gets all of them at once.
const TogetherMax = 8 << 20

// name is how settings name a secret.
var name = regexp.MustCompile(programs.SecretName + `([a-z2-7]{26})`)

// Find adds the secrets that a text names to a set: also one of settings that aren't right any more.
func Find(text string, to map[string]bool) {
	for _, found := range name.FindAllStringSubmatch(text, -1) {
		to[found[1]] = true
	}
}

// Names says whether settings name a secret.
func Names(settings []byte, id string) bool {
	n, problems := config.ParseSettings("network.yaml", settings)
	if problems.Err() != nil {
		return false
	}
	list, err := feed.SecretsOf(n)
	return err == nil && slices.Contains(list, id)
}

// Check looks whether there is what settings name.
func (v *Vault) Check(ctx context.Context, n *config.Network) error {
	list, err := feed.SecretsOf(n)
	if err != nil {
		return wrong(http.StatusUnprocessableEntity, "%w", err)
	}
	together := 0
	for _, id := range list {
		r, ok, err := v.record(ctx, id)
		if err != nil {
			return err
		}
		if !ok {
			return wrong(http.StatusUnprocessableEntity, "control has no secret:%s: wherry program secret set sends one", id)
		}
		together += r.Size
	}
	if together > TogetherMax {
		return wrong(http.StatusUnprocessableEntity, "the secrets that the settings name have %d bytes together, more than %d MiB: remove some", together, TogetherMax>>20)
	}
	return nil
}

// Export adds the secrets that settings name to the files of an export.
func (v *Vault) Export(ctx context.Context, settings string, add func(name string, content []byte)) error {
	n, problems := config.ParseSettings("network.yaml", []byte(settings))
	if n == nil {
		return problems.Err()
	}
	files := map[string][]byte{}
	if err := v.AddTo(ctx, n, files); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		add("secrets/"+strings.TrimPrefix(name, programs.SecretName), files[name])
	}
	return nil
}

// AddTo adds the secrets that settings name to what a node is sent along with them, by secret: and their names.
func (v *Vault) AddTo(ctx context.Context, n *config.Network, files map[string][]byte) error {
	list, err := feed.SecretsOf(n)
	if err != nil {
		return err
	}
	for _, id := range list {
		if files[programs.SecretName+id], err = v.Open(ctx, id); err != nil {
			return err
		}
	}
	return nil
}
