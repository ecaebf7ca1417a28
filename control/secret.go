package control

import (
	"context"
	"net/http"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/vault"
	"github.com/wherry/wherry/feed"
)

func indexFile(files []feed.BundleFile, name string) int {
	for i := range files {
		if files[i].Name == name {
			return i
		}
	}
	return -1
}

// files takes the files that a site names: from what was sent, or those of the revision before.
func (c *Control) files(d *draft) error {
	sent := map[string][]byte{}
	for _, f := range d.Files {
		if len(f.Content) > fileMax {
			return wrong(http.StatusRequestEntityTooLarge, "apply", "%s has %d bytes, more than %d", f.Name, len(f.Content), fileMax)
		}
		sent[f.Name] = f.Content
	}
	for _, ref := range d.site.Files() {
		file := feed.BundleFile{Name: ref.Name, Secret: ref.Use == config.FileKey}
		content, ok := sent[ref.Name]
		switch i := indexFile(d.before.Files, ref.Name); {
		case ok:
			file.Object, file.Size = feed.HashOf(content), int64(len(content))
			d.content[file.Object.String()] = content
			if file.Secret {
				d.secrets[file.Object] = content
			}
		case i >= 0:
			file = d.before.Files[i]
		default:
			return wrong(http.StatusUnprocessableEntity, "apply", "%s of %s names the file %s, which wasn't sent along: apply from where the file is", ref.Path, d.Name, ref.Name)
		}
		d.bundle.Files = append(d.bundle.Files, file)
	}
	return nil
}

// putSecret keeps a secret, sealed with its hash as what it belongs to.
func (c *Control) putSecret(ctx context.Context, h feed.Hash, secret []byte) error {
	sealed, err := vault.Sealer(c.o.Secret).Seal(h[:], secret)
	if err != nil {
		return err
	}
	return c.putParts(ctx, prefixSecret, h, sealed)
}

func (c *Control) secret(ctx context.Context, h feed.Hash) ([]byte, error) {
	sealed, err := c.parts(ctx, prefixSecret, h)
	if err != nil {
		return nil, err
	}
	return vault.Sealer(c.o.Secret).Open(h[:], sealed)
}

// secretOf says whether a document that a node has, or is to have, is made of a secret.
func (c *Control) secretOf(ctx context.Context, id config.NodeID, h feed.Hash) bool {
	var refs []feed.Ref
	c.o.Keeper.View(func(s *feed.State) {
		for key, doc := range s.Docs {
			if strings.HasPrefix(key, feed.PrefixSite) {
				if ref, ok := doc.For(id); ok {
					refs = append(refs, ref)
				}
			}
		}
	})
	for _, ref := range refs {
		if c.usesSecret(ctx, ref.Object, h) {
			return true
		}
	}
	return false
}

func (c *Control) usesSecret(ctx context.Context, object, h feed.Hash) bool {
	data, err := c.object(ctx, object)
	if err != nil {
		return false
	}
	b, err := bundleOf(feed.PrefixSite, data)
	if err != nil {
		return false
	}
	for _, f := range b.Files {
		if f.Secret && f.Object == h {
			return true
		}
	}
	return false
}
