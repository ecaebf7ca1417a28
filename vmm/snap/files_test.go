package snap_test

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/snap"
)

// archive is a root file system around a program.
func archive(t testing.TB, program []byte, more ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(h tar.Header, content string) {
		h.Size = int64(len(content))
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1_000_000_000, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	put(tar.Header{Typeflag: tar.TypeReg, Name: "usr/bin/files", Mode: 0o755}, string(program))
	put(tar.Header{Typeflag: tar.TypeSymlink, Name: "entry", Linkname: "usr/bin/files", Mode: 0o777}, "")
	put(tar.Header{Typeflag: tar.TypeReg, Name: "etc/kept", Mode: 0o640}, "a file")
	put(tar.Header{Typeflag: tar.TypeLink, Name: "etc/also", Linkname: "etc/kept"}, "")
	put(tar.Header{Typeflag: tar.TypeDir, Name: "var/lib/store/", Mode: 0o700}, "")
	put(tar.Header{Typeflag: tar.TypeDir, Name: "spool/in/", Mode: 0o755}, "")
	for _, h := range more {
		put(h, "")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFiles has a program see the files of its image, and write where it may, before a snapshot, after it, and after that was a file.
func TestFiles(t *testing.T) {
	out := filepath.Join(t.TempDir(), "files")
	cmd := exec.Command("go", "build", "-o", out, "./testdata/files")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	elf, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	image := archive(t, elf)
	onEach(t, func(t *testing.T, make snap.Maker) {
		program, err := snap.ReadProgram(image, "/entry")
		if err != nil {
			t.Fatal(err)
		}
		m, err := make(phys.New(phys.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		p, err := snap.Boot(t.Context(), m, program.ELF, linux.Options{Image: program.Files, Args: []string{"/entry"}, Env: environment, Memory: 128 << 20})
		if err != nil {
			t.Fatal(err)
		}
		s, err := snap.Take(m, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if n, size := s.Files(); n != 2 || size != int64(len(elf))+6 {
			t.Errorf("%d files, %d bytes; want the program and one with two names", n, size)
		}
		if !bytes.Equal(s.Image(), image) || s.Bytes() < int64(len(image)) {
			t.Errorf("the snapshot has another image, or counts %d bytes for one of %d", s.Bytes(), len(image))
		}
		var kept bytes.Buffer
		if _, err := s.WriteTo(&kept); err != nil {
			t.Fatal(err)
		}
		copied, err := snap.Read(bytes.NewReader(kept.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range []*snap.Snapshot{s, copied} {
			i := start(t, of, make, linux.Limits{})
			for range 2 { // a reset takes all back
				seesFiles(t, i)
				if _, err := i.Reset(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// seesFiles asks the program for what it sees.
func seesFiles(t *testing.T, i *snap.Instance) {
	t.Helper()
	for _, tt := range [][2]string{
		{"kept", "file"},
		{"read /etc/also", "a file"},
		{"map /etc/kept", "X fil"},
		{"read /etc/kept", "a file"},
		{"stat /etc/kept", "-rw-r----- 6 2 links 1000000000"},
		{"stat /var/lib/store", "drwx------ 40 2 links 1000000000"},
		{"where", "/usr/bin/files"},
		{"walk /", "/ /entry->usr/bin/files /etc /etc/also /etc/group /etc/hosts /etc/kept /etc/passwd /run /spool /spool/in /tmp /usr /usr/bin /usr/bin/files " +
			"/var /var/cache /var/lib /var/lib/store /var/log /var/run /var/spool /var/tmp"},
		{"write /etc/kept", "open /etc/kept: read-only file system"},
		{"write /etc/new", "open /etc/new: read-only file system"},
		{"mkdir /srv", "mkdir /srv: read-only file system"},
		{"remove /etc/also", "remove /etc/also: read-only file system"},
		{"write /var/lib/store/db", "written"},
		{"write /spool/in/1", "written"},
		{"mkdir /run/program", "made"},
		{"write /run/program/pid", "written"},
		{"walk /run", "/run /run/program /run/program/pid"},
		{"remove /spool/in", "remove /spool/in: directory not empty"},
		{"remove /var/cache", "removed"},
		{"read /etc/hosts", "127.0.0.1 localhost\n169.254.0.1 edge kv\n"},
	} {
		got := strings.TrimSuffix(call(t, i, tt[0]+"\n"), "\n")
		if strings.HasSuffix(tt[1], "\n") {
			got += "\n"
		}
		if tt[0] == "read /etc/hosts" {
			got, tt[1] = got[:20], tt[1][:20] // the gate's address is its own affair
		}
		if strings.TrimSuffix(got, "\n") != strings.TrimSuffix(tt[1], "\n") {
			t.Errorf("%s: %q, want %q", tt[0], got, tt[1])
		}
	}
}

// Images that can't be used say why.
func TestReadProgramRefuses(t *testing.T) {
	elf := []byte("\x7fELF and so on")
	for _, tt := range []struct {
		name, executable string
		image            []byte
		want             string
	}{
		{"compressed", "", []byte("\x1f\x8b\x08"), "gunzip it first"},
		{"zip", "", []byte("PK\x03\x04"), "make a tar archive"},
		{"no archive", "/bin/x", elf, "leave `executable` out"},
		{"not there", "/bin/x", archive(t, elf), "there is no /bin/x in the image; name a static Linux program of it: it has /usr/bin/files"},
		{"a device", "", archive(t, elf, tar.Header{Typeflag: tar.TypeChar, Name: "etc/null"}), `"etc/null" is a device`},
		{"cut", "", archive(t, bytes.Repeat(elf, 1000))[:700], "ends within"},
		{"cut between entries", "", archive(t, elf)[:1024], "unexpected EOF"},
	} {
		if _, err := snap.ReadProgram(tt.image, tt.executable); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzReadProgram gives bytes to ReadProgram: an archive with files is an image that a table can have, or an error.
func FuzzReadProgram(f *testing.F) {
	f.Add(archive(f, []byte("\x7fELF")), "/entry")
	f.Add(archive(f, []byte("\x7fELF"), tar.Header{Typeflag: tar.TypeSymlink, Name: "tmp", Linkname: "run"}, tar.Header{Typeflag: tar.TypeReg, Name: "var"}), "")
	f.Fuzz(func(t *testing.T, image []byte, executable string) {
		p, err := snap.ReadProgram(image, executable)
		if err != nil || p.Files == nil {
			return
		}
		table, err := file.New(file.Options{Image: p.Files})
		if err != nil {
			t.Fatal(err)
		}
		data, err := table.Checkpoint().MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var s file.State
		if err := s.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		again, err := file.New(file.Options{Image: p.Files})
		if err == nil {
			err = again.Restore(&s)
		}
		if err != nil {
			t.Error(err)
		}
	})
}
