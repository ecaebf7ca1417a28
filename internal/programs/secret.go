package programs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
)

// OpenToOthers says whether others than its owner may use a file.
func OpenToOthers(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// FileOf is where a file is that a configuration names.
func FileOf(configuration, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(configuration), name)
}

// secrets reads the secrets of a program into its environment, and returns their names. Errors name neither a file nor what is in it: who wrote a secret where its
// file is named isn't to find it in a log.
func (s *Set) secrets(snapshot *config.Snapshot, name string, p *programs.Program) (environment, names []string, problems config.Problems) {
	environment, names = p.Environment(), slices.Sorted(maps.Keys(p.Secrets))
	for _, variable := range names {
		value, err := s.secret(name, variable, p.Secrets[variable])
		if err != nil {
			what := "can't be used: " + err.Error()
			problems = append(problems, s.problem(snapshot, "programs."+name+".secrets."+variable, what, "name a file with its value, from the directory of the configuration"))
			continue
		}
		environment = append(environment, variable+"="+value)
	}
	return environment, names, problems
}

func (s *Set) secret(program, variable, file string) (string, error) {
	if _, kept := programs.KeptSecret(file); kept {
		return "", errors.New("it is kept by control, and this node has none")
	}
	content, info, err := readSecret(FileOf(s.o.File, file))
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if err != nil {
		return "", err
	}
	if OpenToOthers(info) {
		s.o.Log.Warn("others may read the secret of a program; run chmod 600 on its file", "program", program, "variable", variable)
	}
	value, wrong := programs.SecretValue(content)
	if wrong != "" {
		return "", fmt.Errorf("its file %s", wrong)
	}
	return value, nil
}

func readSecret(file string) (content []byte, info fs.FileInfo, err error) {
	if info, err = os.Stat(file); err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would have us wait
		return nil, nil, errors.New("it is no file")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	content, err = io.ReadAll(io.LimitReader(f, programs.SecretMax+1))
	return content, info, err
}
