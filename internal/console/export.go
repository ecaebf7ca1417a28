package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
)

func newExportCommand(flags Flags) *cobra.Command {
	var dir string
	var secrets bool
	c := &cobra.Command{
		Use:   "export [--dir DIR]",
		Short: "Write the whole network as files that wherry apply takes",
		Long: `Writes the network's settings, all sites, and the files that they name, so that wherry apply -f DIR makes the same network. Private keys and secrets of
programs are among them only with --secrets, which needs a token of the verb admin; what an apply leaves out of them, control keeps.

Without --dir the settings and the sites go to standard output as one YAML file, without the files that they name.`,
		Example: "  wherry export --dir network && git -C network add -A",
		Args: func(c *cobra.Command, args []string) error {
			if secrets && dir == "" {
				return UsageError{errors.New("--secrets writes keys into files: say where with --dir")}
			}
			return NoArgs(c, args)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "the `folder` for the files; those that are there are replaced")
	c.Flags().BoolVar(&secrets, "secrets", false, "with private keys and the secrets of programs")
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		e, err := a.export(ctx, secrets)
		if err != nil || a.json && dir == "" {
			return err
		}
		if dir == "" {
			text, err := joined(e)
			if err == nil {
				_, err = a.out.Write(text)
			}
			return err
		}
		if err := writeExport(dir, e); err != nil {
			return err
		}
		fmt.Fprintf(a.notes, "%s written to %s\n", plural(len(e.Files), "file"), dir)
		return nil
	})
}

const (
	networkFile = "network.yaml"
	sitesFolder = "sites/"
)

// export asks for the files. Sites whose files don't say their revision get that which held just before: if it isn't theirs any more, it
// is an older one, and an apply on it is refused.
func (a *asker) export(ctx context.Context, secrets bool) (api.Export, error) {
	sites, err := a.ask.Sites(ctx, api.SiteQuery{})
	if err != nil {
		return api.Export{}, err
	}
	e, err := a.show.Export(ctx, secrets)
	if err != nil {
		return e, err
	}
	for i, f := range e.Files {
		name, ok := siteInFile(f.Name)
		if base, _ := cutRevision(f.Content); !ok || base != nil {
			continue
		}
		if j := slices.IndexFunc(sites, func(s api.Site) bool { return s.Name == name }); j >= 0 {
			e.Files[i].Content = []byte(withRevision(string(f.Content), sites[j].Revision))
		}
	}
	return e, nil
}

// siteInFile returns the site that a file of an export is of.
func siteInFile(file string) (config.SiteName, bool) {
	name, ok := strings.CutPrefix(file, sitesFolder)
	name, yaml := strings.CutSuffix(name, ".yaml")
	return config.SiteName(name), ok && yaml && !strings.Contains(name, "/")
}

// writeExport writes the files of an export below dir, and nowhere else.
func writeExport(dir string, e api.Export) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // no name leads out of it, nor a link that lies in it
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range e.Files {
		name := filepath.FromSlash(f.Name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the export has a file %q, which doesn't lie below %s; nothing further was written", f.Name, dir)
		}
		if parent := filepath.Dir(name); parent != "." {
			if err := root.MkdirAll(parent, 0o700); err != nil {
				return err
			}
		}
		mode := fs.FileMode(0o600) // keys are among them
		if strings.HasSuffix(name, ".yaml") {
			mode = 0o644
		}
		if err := root.WriteFile(name, f.Content, mode); err != nil {
			return err
		}
	}
	return nil
}

// joined makes one file of the settings and the sites.
func joined(e api.Export) ([]byte, error) {
	whole := &yaml.Node{Kind: yaml.MappingNode}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, f := range e.Files {
		_, site := siteInFile(f.Name)
		if !site && f.Name != networkFile {
			continue
		}
		base, text := cutRevision(f.Content)
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			return nil, fmt.Errorf("%s of the export is no YAML: %w", f.Name, err)
		}
		if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
			continue // settings that are all as by default
		}
		if f.Name == networkFile {
			whole.Content = append(whole.Content, doc.Content[0].Content...)
			if base != nil && len(whole.Content) > 0 {
				first := whole.Content[0]
				first.HeadComment = strings.TrimSpace(fmt.Sprintf("# revision: %d\n%s", *base, first.HeadComment))
			}
			continue
		}
		if base != nil {
			doc.Content[0].HeadComment = fmt.Sprintf("# revision: %d", *base)
		}
		list.Content = append(list.Content, doc.Content[0])
	}
	if len(list.Content) > 0 {
		whole.Content = append(whole.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "sites"}, list)
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(whole); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
