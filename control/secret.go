package control

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Secrets are private keys, and the passwords in the URLs of origins. A password is lifted out of a site's text before it is kept: what stands there
// instead is credentialFront and the beginning of its hash, which the node puts the password in place of.
const (
	credentialFront = feed.CredentialFront
	credentialHash  = 16
)

// userinfo finds a password in a URL.
var userinfo = regexp.MustCompile(`(://[^\s/:@"']*:)([^\s/@"']+)(@)`)

// masked is a text without passwords, for people.
func masked(yaml string) string { return userinfo.ReplaceAllString(yaml, "${1}****${3}") }

// lift takes the passwords out of a site's text.
func (c *Control) lift(d *draft) error {
	var files []feed.BundleFile
	var err error
	d.bundle.YAML = userinfo.ReplaceAllStringFunc(d.YAML, func(match string) string {
		parts := userinfo.FindStringSubmatch(match)
		password := parts[2]
		switch {
		case strings.HasPrefix(password, credentialFront): // of an export
			i := indexFile(d.before.Files, password)
			if i < 0 {
				err = wrong(http.StatusUnprocessableEntity, "apply", "the password %s... of an export isn't known here any more: write the password itself", password)
				return match
			}
			files = append(files, d.before.Files[i])
			return match
		case strings.Trim(password, "*") == "":
			err = wrong(http.StatusUnprocessableEntity, "apply", "the password of an origin of %s is masked: write the password itself, or apply an export made with --secrets", d.Name)
			return match
		}
		h := feed.HashOf([]byte(password)) // as it is written in the URL
		name := credentialFront + h.String()[:credentialHash]
		d.secrets[h] = []byte(password)
		files = append(files, feed.BundleFile{Name: name, Object: h, Size: int64(len(password)), Secret: true})
		return parts[1] + name + parts[3]
	})
	d.bundle.Files = files
	return err
}

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

func (c *Control) sealer() (cipher.AEAD, error) {
	block, err := aes.NewCipher(c.o.Secret)
	if err != nil {
		return nil, fmt.Errorf("the key that seals secrets: %w", err)
	}
	return cipher.NewGCM(block)
}

// putSecret keeps a secret, sealed with its hash as what it belongs to.
func (c *Control) putSecret(ctx context.Context, h feed.Hash, secret []byte) error {
	aead, err := c.sealer()
	if err != nil {
		return err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return c.putParts(ctx, prefixSecret, h, aead.Seal(nonce, nonce, secret, h[:]))
}

func (c *Control) secret(ctx context.Context, h feed.Hash) ([]byte, error) {
	sealed, err := c.parts(ctx, prefixSecret, h)
	if err != nil {
		return nil, err
	}
	aead, err := c.sealer()
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("a secret is damaged in the store: restore a backup, or apply the site again")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], h[:])
	if err != nil {
		return nil, errors.New("a secret can't be opened: it was sealed with another key than this control node has (secret.key)")
	}
	return plain, nil
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
