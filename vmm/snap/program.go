package snap

import (
	"bytes"
	"errors"

	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/rootfs"
)

// Program is what an image has: an ELF file, and the files that it sees.
type Program struct {
	ELF   []byte
	Files *file.Image // for linux.Options; nil of an image that is an ELF file
}

// compressed are what images begin with that somebody has compressed, and what to do about it.
var compressed = []struct{ beginning, what string }{
	{"\x1f\x8b", "it is compressed with gzip; gunzip it first"},
	{"\x28\xb5\x2f\xfd", "it is compressed with zstd; unzstd it first"},
	{"\xfd7zXZ", "it is compressed with xz; unxz it first"},
	{"BZh", "it is compressed with bzip2; bunzip2 it first"},
	{"PK\x03\x04", "it is a ZIP file; make a tar archive of what is in it"},
}

// ReadProgram reads an image: an ELF file, or an archive of a root file system in which executable is the program (rootfs.FS.Program).
func ReadProgram(image []byte, executable string) (Program, error) {
	for _, c := range compressed {
		if bytes.HasPrefix(image, []byte(c.beginning)) {
			return Program{}, errors.New(c.what)
		}
	}
	if !rootfs.IsArchive(image) {
		if executable != "" {
			return Program{}, errors.New("it is no archive, so that it has no executable to choose; leave `executable` out")
		}
		return Program{ELF: image}, nil
	}
	root, err := rootfs.Read(image)
	if err != nil {
		return Program{}, err
	}
	elf, at, err := root.Program(executable)
	if err != nil {
		return Program{}, err
	}
	files, err := file.NewImage(file.ImageOptions{Files: root, Path: at, Root: true, Origin: image})
	if err != nil {
		return Program{}, err
	}
	return Program{ELF: elf, Files: files}, nil
}
