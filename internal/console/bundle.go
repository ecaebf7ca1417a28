package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
)

// networkDocument is the name of the document with the network's settings.
const networkDocument = "network"

// readDocuments reads what -f names: files, folders as export writes them, and - for standard input.
func readDocuments(stdin io.Reader, names []string, notes io.Writer) ([]api.Document, error) {
	var all []api.Document
	var wrong config.Problems
	from := map[string]string{}
	for _, name := range names {
		files, err := yamlFiles(name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			documents, problems, err := readFile(stdin, file, notes)
			if err != nil {
				return nil, err
			}
			wrong = append(wrong, problems...)
			for _, d := range documents {
				if other, twice := from[d.Name]; twice {
					return nil, fmt.Errorf("%s stands in %s and in %s; apply one of them", d.Name, other, file)
				}
				from[d.Name] = file
				all = append(all, d)
			}
		}
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: there is no site and no setting; write one as in wherry config sample", strings.Join(names, ", "))
	}
	return all, nil
}

// yamlFiles returns name, or the YAML files below it if it is a folder.
func yamlFiles(name string) ([]string, error) {
	if name == "-" {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return []string{name}, err
	}
	var files []string
	err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && path != name {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(path); !d.IsDir() && (ext == ".yaml" || ext == ".yml") {
			files = append(files, path)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s has no .yaml files; wherry export --dir writes such a folder", name)
	}
	return files, err
}

// fileMax bounds a file with sites, and each that a site names.
const fileMax = 32 << 20

// readFile reads one file with its documents, and what is wrong with them.
func readFile(stdin io.Reader, file string, notes io.Writer) ([]api.Document, config.Problems, error) {
	data, dir, err := readYAML(stdin, file)
	if err != nil {
		return nil, nil, err
	}
	parts, problems := config.Split(file, data)
	if problems.Err() != nil {
		return nil, problems, nil
	}
	var all []api.Document
	if parts.Settings != nil {
		base, text := cutRevision(parts.Settings)
		kept, err := readKept(dir, text)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, api.Document{Name: networkDocument, YAML: text, Base: base, Files: kept})
	}
	for _, part := range parts.Sites {
		site, found := config.ParseSite(file, part.YAML)
		for _, p := range found {
			p.Line += max(part.Line, 1) - 1
			problems = append(problems, p)
			if p.Severity == config.Warning {
				fmt.Fprintln(notes, p)
			}
		}
		if site == nil {
			continue
		}
		base, text := cutRevision(part.YAML)
		d := api.Document{Name: string(site.Name), YAML: text, Base: base}
		if d.Files, err = readNamed(dir, file, site, notes); err != nil {
			return nil, nil, err
		}
		all = append(all, d)
	}
	return all, problems, nil
}

// readYAML returns the content of a file and the folder from which the names in it count.
func readYAML(stdin io.Reader, file string) (data []byte, dir string, err error) {
	if file == "-" {
		data, err = io.ReadAll(io.LimitReader(stdin, fileMax+1))
		dir = "."
	} else {
		data, err = readBounded(file)
		dir = filepath.Dir(file)
	}
	if err == nil && len(data) > fileMax {
		err = fmt.Errorf("%s is larger than %d MiB; split it", file, fileMax>>20)
	}
	return data, dir, err
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, fileMax+1))
}

// readNamed reads the files that a site names. One that isn't there is left out: an export without secrets has no keys, and control
// keeps those that it has.
func readNamed(dir, file string, site *config.Site, notes io.Writer) ([]api.File, error) {
	var all []api.File
	for _, ref := range site.Files() {
		if slices.ContainsFunc(all, func(f api.File) bool { return f.Name == ref.Name }) {
			continue
		}
		path := ref.Name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		content, err := readBounded(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			fmt.Fprintf(notes, "%s: site %s, %s: there is no %s; what control has under this name stays\n", file, site.Name, ref.Path, path)
			continue
		case err != nil:
			return nil, fmt.Errorf("site %s, %s: %w", site.Name, ref.Path, err)
		case len(content) > fileMax:
			return nil, fmt.Errorf("site %s, %s: %s is larger than %d MiB", site.Name, ref.Path, path, fileMax>>20)
		}
		all = append(all, api.File{Name: ref.Name, Content: content})
	}
	return all, nil
}

// revisionLine is the comment at the head of a document that says which revision it was made from.
var revisionLine = regexp.MustCompile(`^#\s*revision:\s*(\d+)\s*$`)

// cutRevision takes that comment away, which control adds again.
func cutRevision(data []byte) (base *uint64, text string) {
	var kept []byte
	head := true
	for line := range bytes.Lines(data) {
		trimmed := bytes.TrimSpace(line)
		head = head && (len(trimmed) == 0 || trimmed[0] == '#' || bytes.Equal(trimmed, []byte("---")))
		if found := revisionLine.FindSubmatch(trimmed); head && found != nil {
			if n, err := strconv.ParseUint(string(found[1]), 10, 64); err == nil {
				base = &n
				continue
			}
		}
		kept = append(kept, line...)
	}
	return base, string(kept)
}

// withRevision is text with that comment.
func withRevision(text string, revision uint64) string {
	_, text = cutRevision([]byte(text))
	return fmt.Sprintf("# revision: %d\n%s", revision, text)
}
