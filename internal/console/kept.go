package console

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/control/api"
)

// secretsFolder is where export writes the secrets of programs, each under the name that the settings have for it.
const secretsFolder = "secrets/"

// eachKept passes the secrets of programs that settings have by their names. Control says what is wrong with settings that can't be read.
func eachKept(settings string, pass func(name, variable, id string) error) error {
	n, _ := config.ParseSettings(networkFile, []byte(settings))
	if n == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(n.Programs)) {
		secrets := n.Programs[name].Secrets
		for _, variable := range slices.Sorted(maps.Keys(secrets)) {
			id, kept := programs.KeptSecret(secrets[variable])
			if wrong, _ := programs.WrongSecret(secrets[variable]); kept && wrong == "" {
				if err := pass(string(name), variable, id); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readKept reads the secrets of programs that lie beside settings as export writes them.
func readKept(dir, settings string) (files []api.File, err error) {
	err = eachKept(settings, func(name, variable, id string) error {
		path := filepath.Join(dir, secretsFolder, id)
		content, err := readBounded(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // control has it, or says that it hasn't
		}
		if err == nil {
			if _, wrong := programs.SecretValue(content); wrong != "" {
				err = errors.New(wrong)
			}
		}
		if err != nil {
			return fmt.Errorf("the secret %s of program %s: %s %w", variable, name, path, err)
		}
		files = append(files, api.File{Name: secretsFolder + id, Content: content})
		return nil
	})
	return files, err
}

// sendKept has control keep those that it hasn't, which are another network's, and puts their new names into the settings. With dry it sends nothing.
func (a *asker) sendKept(ctx context.Context, documents []api.Document, dry bool) error {
	i := slices.IndexFunc(documents, func(d api.Document) bool { return d.Name == networkDocument })
	if i < 0 {
		return nil
	}
	d := &documents[i]
	files := map[string][]byte{}
	for _, f := range d.Files {
		files[strings.TrimPrefix(f.Name, secretsFolder)] = f.Content
	}
	d.Files = nil // control takes none with settings
	if dry || len(files) == 0 {
		return nil
	}
	known := map[string]bool{}
	return eachKept(d.YAML, func(name, variable, id string) error {
		content, here := files[id]
		if !here {
			return nil
		}
		list, err := a.ask.Secrets(ctx, config.ProgramName(name))
		if err != nil {
			return err
		}
		for _, s := range list {
			known[s.ID] = true
		}
		if known[id] {
			return nil
		}
		sent, err := a.sendSecret(ctx, name, variable, content)
		if err != nil {
			return err
		}
		delete(files, id) // of two variables that have it the text has the new name
		d.YAML = strings.ReplaceAll(d.YAML, programs.SecretName+id, sent)
		fmt.Fprintf(a.notes, "program %s: control keeps %s now, as %s\n", name, variable, sent)
		return nil
	})
}
