package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

type entry struct {
	tar.Header
	content string
}

func archive(t testing.TB, all ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range all {
		e.Size = int64(len(e.content))
		if e.ModTime.IsZero() {
			e.ModTime = time.Unix(1e9, 0)
		}
		if e.Mode == 0 {
			e.Mode = 0o755
		}
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func regular(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name}, content}
}

func link(kind byte, name, target string) entry {
	return entry{tar.Header{Typeflag: kind, Name: name, Linkname: target}, ""}
}

func read(t testing.TB, all ...entry) *FS {
	t.Helper()
	f, err := Read(archive(t, all...))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// list is all names of a file system and what is behind them.
func list(t testing.TB, f *FS) string {
	t.Helper()
	var all []string
	err := fs.WalkDir(f, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		switch {
		case d.IsDir():
			name += "/"
		case d.Type()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(f, name)
			if err != nil {
				return err
			}
			name += "->" + target
		default:
			b, err := fs.ReadFile(f, name)
			if err != nil {
				return err
			}
			name += "=" + string(b[:min(len(b), 20)])
		}
		all = append(all, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// An archive is read as tar would unpack it, but never outside of the root.
func TestRead(t *testing.T) {
	long := strings.Repeat("directory/", 40) + strings.Repeat("n", 200)
	for _, tt := range []struct {
		name    string
		entries []entry
		want    string
	}{
		{"names", []entry{regular("./a/b", "1"), regular("/c", "2"), regular("../../d", "3"), regular("x/../../e", "4")}, "a/ a/b=1 c=2 d=3 e=4"},
		{"the last one counts", []entry{regular("a", "1"), regular("a", "2"), link(tar.TypeDir, "a", ""), regular("a", "3")}, "a=3"},
		{"links", []entry{regular("a", "1"), link(tar.TypeLink, "b", "./a"), link(tar.TypeSymlink, "c", "../../../etc/passwd"), regular("a", "2")}, "a=2 b=1 c->../../../etc/passwd"},
		{"what docker export writes", []entry{
			regular(".dockerenv", ""), link(tar.TypeDir, "dev/", ""), regular("dev/console", ""), link(tar.TypeDir, "dev/pts/", ""), link(tar.TypeDir, "etc/", ""), regular("etc/hosts", ""),
			link(tar.TypeSymlink, "etc/mtab", "/proc/mounts"), link(tar.TypeDir, "proc/", ""), regular("server", "\x7fELF"), link(tar.TypeDir, "sys/", ""),
		}, ".dockerenv= etc/ etc/hosts= etc/mtab->/proc/mounts server=\x7fELF"},
		{"what the system has", []entry{link(tar.TypeChar, "dev/null", ""), regular("proc/x", "1"), link(tar.TypeDir, "sys", ""), regular("device", "2")}, "device=2"},
		{"names that aren't UTF-8", []entry{regular("\xe4", "1")}, "\xe4=1"},
		{"long names", []entry{regular(long, "1")}, ""},
	} {
		f := read(t, tt.entries...)
		if got := list(t, f); tt.want != "" && got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if b, err := read(t, regular(long, "1")).ReadFile(long); string(b) != "1" {
		t.Errorf("a long name: %q, %v", b, err)
	}
	f := read(t, entry{tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o640, ModTime: time.Unix(1e9, 0)}, "1"}, link(tar.TypeLink, "b", "a"),
		entry{tar.Header{Typeflag: tar.TypeReg, Name: "c", ModTime: time.Unix(-5, 0), Format: tar.FormatPAX}, ""})
	a, _ := f.Lstat("a")
	b, _ := f.Lstat("b")
	if a.Mode() != 0o640 || a.ModTime().Unix() != 1e9 || a.Size() != 1 || a.Sys() != b.Sys() {
		t.Errorf("a is %v, %v, %d bytes, and the same as b: %v", a.Mode(), a.ModTime(), a.Size(), a.Sys() == b.Sys())
	}
	if c, _ := f.Lstat("c"); c.ModTime().Unix() != 0 {
		t.Errorf("a time before 1970 is %v", c.ModTime())
	}
}

func TestReadRefuses(t *testing.T) {
	for want, all := range map[string][]entry{
		`"b" is a hard link to "a"`:                    {link(tar.TypeLink, "b", "a")},
		`"fifo" is a device or a FIFO`:                 {link(tar.TypeFifo, "fifo", "")},
		`"l/x" leads through "l"`:                      {link(tar.TypeSymlink, "l", "d"), regular("l/x", "")},
		`"d" is a directory with files in it`:          {regular("d/x", ""), regular("d", "")},
		"has more than 255 bytes":                      {regular(strings.Repeat("n", 256), "")},
		"is more than 128 directories deep":            {regular(strings.Repeat("d/", 129)+"x", "")},
		"this is an image of layers, as docker save":   {regular("manifest.json", "[]"), regular("blobs/sha256/0", "")},
		"docker export $(docker create IMAGE) > rootf": {regular("oci-layout", ""), regular("index.json", "")},
		"something other than a directory for its roo": {regular("..", "")},
	} {
		if _, err := Read(archive(t, all...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	var many []entry
	for i := range EntriesMax + 1 {
		many = append(many, regular("d/"+strings.Repeat("x", i%200)+string(rune('a'+i%26))+time.Duration(i).String(), ""))
	}
	if _, err := Read(archive(t, many...)); err == nil || !strings.Contains(err.Error(), "more than 65000") {
		t.Errorf("%d files: %v", len(many), err)
	}
}

// Files with holes, which could be as large as anything, are refused in both of GNU tar's forms.
func TestSparse(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/holes", []byte("x"), 0o644), os.Truncate(dir+"/holes", 1<<40)); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"gnu", "posix"} {
		out, err := exec.Command("tar", "--sparse", "--format="+format, "-C", dir, "-cf", "-", "holes").Output()
		if err != nil {
			t.Skip(err)
		}
		if _, err := Read(out); err == nil || !strings.Contains(err.Error(), "make the archive without --sparse") {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// FS is a file system as the standard library has them, but that what ReadFile gives isn't to be changed.
func TestFS(t *testing.T) {
	f := read(t, regular("a/b", "1"), regular("c", "22"), link(tar.TypeDir, "empty", ""))
	if err := fstest.TestFS(struct{ fs.FS }{f}, "a/b", "c", "empty"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"../c", "/c", "a//b"} {
		if _, err := f.Open(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProgram(t *testing.T) {
	const elf = "\x7fELF"
	one := []entry{
		regular("usr/sbin/nginx", elf+"n"), regular("etc/conf", "x"), link(tar.TypeSymlink, "entry", "/usr/bin/../sbin/nginx"), link(tar.TypeDir, "usr/bin", ""),
		regular("start.sh", "#!/bin/sh\n"), link(tar.TypeSymlink, "loop", "loop"),
	}
	two := append([]entry{regular("bin/other", elf+"o")}, one...)
	three := append([]entry{regular("program", elf+"p")}, two...)
	for _, tt := range []struct {
		entries          []entry
		executable, want string
	}{
		{one, "", "/usr/sbin/nginx"},
		{one, "nginx", "/usr/sbin/nginx"},
		{one, "usr/sbin/nginx", "/usr/sbin/nginx"},
		{one, "/entry", "/usr/sbin/nginx"},
		{one, "/../entry", "/usr/sbin/nginx"},
		{two, "other", "/bin/other"},
		{three, "", "/program"},
		{three, "/bin/other", "/bin/other"},
		{two, "", "the image has several programs and no /program; say which it is by `executable`: it has /bin/other, /usr/sbin/nginx"},
		{one, "/start.sh", "/start.sh is a script; name the program that it starts, a static one of the image: it has /usr/sbin/nginx"},
		{one, "/etc", "/etc is no file; name a static Linux program of the image: it has /usr/sbin/nginx"},
		{one, "/loop", "/loop leads through too many links; name the program by where it is"},
		{one, "apache", "there is no apache in the image; name a static Linux program of it: it has /usr/sbin/nginx"},
		{one[1:2], "", "the image has no program: no ELF file that may be executed; put a static Linux program there"},
	} {
		_, at, err := read(t, tt.entries...).Program(tt.executable)
		if err != nil {
			at = err.Error()
		}
		if at != tt.want {
			t.Errorf("%q: %s, want %s", tt.executable, at, tt.want)
		}
	}
}

// A directory makes the same archive each time and everywhere, and another one when something in it changes.
func TestPack(t *testing.T) {
	make := func(change func(dir string)) []byte {
		dir := t.TempDir()
		for name, content := range map[string]string{"www/index.html": "<h1>", "etc/nginx.conf": "daemon off;", strings.Repeat("long/", 30) + strings.Repeat("n", 100): "x", ".hidden": ""} {
			name = filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644), os.Chtimes(name, time.Time{}, time.Unix(1e9, 5e8))); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Symlink("../www", filepath.Join(dir, "etc/link")), os.Mkdir(filepath.Join(dir, "empty"), 0o700)); err != nil {
			t.Fatal(err)
		}
		change(dir)
		b, err := Pack(dir, []byte("\x7fELF"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := make(func(string) {})
	if !bytes.Equal(first, make(func(string) {})) {
		t.Error("the same directory makes two archives")
	}
	f, err := Read(first)
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, f); !strings.HasPrefix(got, ".hidden= empty/ etc/ etc/link->../www etc/nginx.conf=daemon off; long/") || !strings.HasSuffix(got, "program=\x7fELF www/ www/index.html=<h1>") {
		t.Error(got)
	}
	if info, _ := f.Lstat("www/index.html"); info.ModTime() != time.Unix(1e9, 0) || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.ModTime(), info.Mode())
	}
	for name, change := range map[string]func(string){
		"content": func(dir string) {
			name := filepath.Join(dir, "www/index.html")
			_ = errors.Join(os.WriteFile(name, []byte("<h2>"), 0o644), os.Chtimes(name, time.Time{}, time.Unix(1e9, 0)))
		},
		"permissions": func(dir string) { _ = os.Chmod(filepath.Join(dir, "www/index.html"), 0o600) },
		"time": func(dir string) {
			_ = os.Chtimes(filepath.Join(dir, "www/index.html"), time.Time{}, time.Unix(1e9+1, 0))
		},
	} {
		if bytes.Equal(first, make(change)) {
			t.Errorf("another %s makes the same archive", name)
		}
	}
}

func TestPackRefuses(t *testing.T) {
	dir := t.TempDir()
	elf := filepath.Join(dir, "elf")
	if err := errors.Join(os.WriteFile(elf, []byte("\x7fELF"), 0o755), os.WriteFile(filepath.Join(dir, "program"), nil, 0o644), os.WriteFile(filepath.Join(dir, "text"), []byte("text"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for want, tt := range map[string][2]string{
		"its files, " + dir + ": program has the name that the program gets": {elf, dir},
		"its files, " + dir + "/none: no such file or directory":             {elf, dir + "/none"},
		"it is no ELF file, which is what goes with files":                   {dir + "/text", dir},
		"is a directory": {dir, dir},
	} {
		_, err := Make(tt[0], tt[1], os.ReadFile)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := errors.Join(os.Mkdir(dir+"/large", 0o755), os.WriteFile(dir+"/large/file", nil, 0o644), os.Truncate(dir+"/large/file", SizeMax)); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(dir+"/large", nil); err == nil || !strings.Contains(err.Error(), "more than 256 MiB") {
		t.Errorf("a directory of more than an image: %v", err)
	}
	if err := errors.Join(os.Remove(dir+"/large/file"), syscall.Mkfifo(dir+"/large/fifo", 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(dir+"/large", nil); err == nil || !strings.Contains(err.Error(), "fifo: it is neither a file, a directory nor a link; take it out") {
		t.Errorf("a directory with a FIFO: %v", err)
	}
	if err := os.RemoveAll(dir + "/large"); err != nil {
		t.Fatal(err)
	}
	if b, err := Make(dir, "", os.ReadFile); err != nil || !IsArchive(b) {
		t.Errorf("a directory as an image: %v", err)
	}
	if b, err := Make(elf, "", os.ReadFile); err != nil || !IsProgram(b) {
		t.Errorf("an ELF file as an image: %v", err)
	}
}

// FuzzRead gives bytes to Read. What it takes is a file system whose names lead nowhere else, with all bytes inside of the archive.
func FuzzRead(f *testing.F) {
	f.Add(archive(f, regular("a/b", "1"), link(tar.TypeLink, "c", "a/b"), link(tar.TypeSymlink, "d", "/a/b"), regular("../e", "2")), "/d")
	f.Add(archive(f, regular("\xe4/\xe4", "1")), "\xe4")
	f.Add(archive(f, regular(strings.Repeat("long/", 30)+"n", "\x7fELF")), "")
	f.Add(archive(f, entry{tar.Header{Typeflag: tar.TypeReg, Name: "p", PAXRecords: map[string]string{"VENDOR.x": "y"}}, "1"}), "p")
	f.Fuzz(func(t *testing.T, data []byte, executable string) {
		root, err := Read(data)
		if err != nil {
			return
		}
		bytes := 0
		err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || !valid(name) || strings.Contains(name, "\x00") {
				t.Fatalf("%q: %v", name, err)
			}
			if d.Type().IsRegular() {
				b, err := fs.ReadFile(root, name)
				if err != nil {
					t.Fatal(err)
				}
				bytes = max(bytes, len(b))
			}
			return nil
		})
		if err != nil || bytes > len(data) {
			t.Errorf("%v; a file of %d bytes in %d", err, bytes, len(data))
		}
		if elf, at, err := root.Program(executable); err == nil {
			if b, err := root.ReadFile(at[1:]); err != nil || len(b) != len(elf) {
				t.Errorf("the program at %s: %v", at, err)
			}
		}
	})
}
