// Files does with files what lines of standard input say, and answers in a line each.
package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	kept, err := os.Open("/etc/kept") // open in the snapshot
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, name, _ := strings.Cut(lines.Text(), " ")
		answer, err := do(verb, name, kept)
		if err != nil {
			answer = err.Error()
		}
		fmt.Println(answer)
	}
}

func do(verb, name string, kept *os.File) (string, error) {
	switch verb {
	case "kept":
		b := make([]byte, 100)
		n, err := kept.ReadAt(b, 2)
		if n > 0 {
			err = nil
		}
		return string(b[:n]), err
	case "read":
		b, err := os.ReadFile(name)
		return string(b), err
	case "map":
		return mapped(name)
	case "write":
		return "written", os.WriteFile(name, []byte("x"), 0o644)
	case "mkdir":
		return "made", os.Mkdir(name, 0o755)
	case "remove":
		return "removed", os.Remove(name)
	case "stat":
		return stat(name)
	case "where":
		return os.Executable()
	case "walk":
		return walk(name)
	}
	return "", fmt.Errorf("%q is no verb", verb)
}

func mapped(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, 5, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
	if err != nil {
		return "", err
	}
	defer syscall.Munmap(b)
	b[0] = 'X' // in this mapping alone
	return string(b), nil
}

func stat(name string) (string, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return "", err
	}
	s := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%v %d %d links %d", info.Mode(), info.Size(), s.Nlink, info.ModTime().Unix()), nil
}

func walk(root string) (string, error) {
	var all []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if name == "/proc" || name == "/dev" || name == "/sys" {
			return fs.SkipDir
		}
		if d != nil && d.Type()&fs.ModeSymlink != 0 {
			target, _ := os.Readlink(name)
			name += "->" + target
		}
		all = append(all, name)
		return err
	})
	return strings.Join(all, " "), err
}
