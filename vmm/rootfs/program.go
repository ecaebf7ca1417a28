package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// ProgramPath is where the program is if nobody says where.
const ProgramPath = "/program"

// searched are the directories of a program that is named without a path: Docker's PATH.
var searched = [...]string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/"}

const (
	linksMax   = 40 // MAXSYMLINKS
	namedMax   = 5  // programs that an error names
	scriptMark = "#!"
)

// ErrNoProgram says that there is nothing to run.
var ErrNoProgram = errors.New("the image has no program: no ELF file that may be executed; put a static Linux program there")

// Program finds the program to run: executable, a path from the root or a name that is looked for where programs are; if empty, /program, or else the only
// ELF file that may be executed. Links are followed: at is where the file is.
func (f *FS) Program(executable string) (elf []byte, at string, err error) {
	tried := []string{path.Join("/", executable)}
	switch {
	case executable == "":
		if n := f.at(ProgramPath[1:]); n != nil && !n.mode.IsDir() {
			tried[0] = ProgramPath
		} else {
			if tried[0], err = f.only(); err != nil {
				return nil, "", err
			}
		}
	case !strings.Contains(executable, "/"):
		tried = tried[:0]
		for _, dir := range searched {
			tried = append(tried, path.Join(dir, executable))
		}
	}
	for _, name := range tried {
		n, at, err := f.follow(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, "", err
		case !n.mode.IsRegular():
			return nil, "", fmt.Errorf("%s is no file; name a static Linux program of the image%s", at, f.those())
		case strings.HasPrefix(string(n.data[:min(len(n.data), len(scriptMark))]), scriptMark):
			return nil, "", fmt.Errorf("%s is a script; name the program that it starts, a static one of the image%s", at, f.those())
		default:
			return n.data, at, nil
		}
	}
	return nil, "", fmt.Errorf("there is no %s in the image; name a static Linux program of it%s", executable, f.those())
}

// follow is what has a path, through links, and where that is.
func (f *FS) follow(name string) (n *node, at string, err error) {
	n, at = f.root, "/"
	above := []*node{}
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			if len(above) > 0 {
				n, above = above[len(above)-1], above[:len(above)-1]
			}
			at = path.Dir(at)
			continue
		}
		next := n.names[part]
		switch {
		case next == nil:
			return nil, "", fs.ErrNotExist
		case next.mode&fs.ModeSymlink == 0:
			n, above, at = next, append(above, n), path.Join(at, part)
			continue
		}
		if links++; links > linksMax || len(rest) > pathMax {
			return nil, "", fmt.Errorf("%s leads through too many links; name the program by where it is", name)
		}
		if strings.HasPrefix(next.target, "/") {
			n, above, at = f.root, above[:0], "/"
		}
		rest = append(strings.Split(next.target, "/"), rest...)
	}
	return n, at, nil
}

// only is the path of the only program that there is.
func (f *FS) only() (string, error) {
	all := f.Programs()
	switch len(all) {
	case 0:
		return "", ErrNoProgram
	case 1:
		return all[0], nil
	}
	return "", fmt.Errorf("the image has several programs and no %s; say which it is by `executable`%s", ProgramPath, f.those())
}

// Programs are the paths of all ELF files that may be executed, a file with several names once.
func (f *FS) Programs() (all []string) {
	seen := map[*node]bool{}
	var walk func(dir *node, at string)
	walk = func(dir *node, at string) {
		for _, name := range slices.Sorted(maps.Keys(dir.names)) {
			n := dir.names[name]
			if n.mode.IsDir() {
				walk(n, path.Join(at, name))
			} else if n.mode.IsRegular() && n.mode&0o111 != 0 && IsProgram(n.data) && !seen[n] {
				seen[n] = true
				all = append(all, path.Join(at, name))
			}
		}
	}
	walk(f.root, "/")
	return all
}

// those names programs of the image, for an error.
func (f *FS) those() string {
	all := f.Programs()
	more := ""
	if len(all) > namedMax {
		all, more = all[:namedMax], " and others"
	}
	if len(all) == 0 {
		return ""
	}
	return ": it has " + strings.Join(all, ", ") + more
}
