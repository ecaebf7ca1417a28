package tree

import (
	"fmt"
	"path"
)

// procDescriptors in special marks the directory whose names are the open descriptors.
const procDescriptors = 1

// addSystem makes /dev, /proc and /sys, in the place of what the caller's tree has there.
func (m *Image) addSystem(program string, made []string) error {
	for i, name := range [...]string{"dev", "proc", "sys"} {
		dir := m.add(m.root, name, &Node{Kind: KindDir, fs: [...]uint8{fsDevices, fsProc, fsProc}[i], now: inode{mode: 0o555}})
		if dir == nil {
			return fmt.Errorf("file: the image has more than %d files; leave out what the program doesn't read", imageFilesMax)
		}
	}
	links := [...][2]string{
		{"/dev/fd", "/proc/self/fd"},
		{"/dev/stdin", "/proc/self/fd/0"},
		{"/dev/stdout", "/proc/self/fd/1"},
		{"/dev/stderr", "/proc/self/fd/2"},
		{"/proc/self/exe", program},
		{"/proc/self/root", "/"},
		{"/proc/thread-self", "self"},
	}
	for i := range devices {
		if err := m.put("/dev/"+devices[i].name, &Node{Kind: KindDevice, Special: i, now: inode{mode: 0o666}}); err != nil {
			return err
		}
	}
	for i, name := range made {
		if err := m.put(name, &Node{Kind: KindProc, Special: i, now: inode{mode: 0o444}}); err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := m.put(l[0], &Node{Kind: KindLink, Target: l[1], now: inode{mode: 0o777}}); err != nil {
			return err
		}
	}
	return m.put("/proc/self/fd", &Node{Kind: KindDir, Special: procDescriptors, now: inode{mode: 0o500}})
}

// addHosts makes /etc/hosts, where there is none and it can be. An empty one, as docker export writes, is none.
func (m *Image) addHosts(hosts string) {
	etc, err := m.directory("/etc")
	if err != nil {
		return
	}
	if n := etc.now.names["hosts"].node; n == nil || m.linked != nil && n.Kind == KindFile && len(n.data) == 0 {
		m.add(etc, "hosts", &Node{Kind: KindFile, data: []byte(hosts), now: inode{mode: 0o444}})
	}
	for _, u := range users {
		if m.linked != nil && etc.now.names[u[0]].node == nil {
			m.add(etc, u[0], &Node{Kind: KindFile, data: []byte(u[1]), now: inode{mode: 0o444}})
		}
	}
}

// users are what servers look for that want to be somebody else than root, where a root file system has none: whoever they become may do all.
var users = [...][2]string{
	{"passwd", "root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"},
	{"group", "root:x:0:\nnobody:x:65534:\nnogroup:x:65534:\n"},
}

func (m *Image) put(name string, n *Node) error {
	dir, err := m.directory(path.Dir(name))
	if err == nil && m.add(dir, path.Base(name), n) == nil {
		err = fmt.Errorf("file: the image has more than %d files; leave out what the program doesn't read", imageFilesMax)
	}
	return err
}

// descriptorLink is the link of /proc/self/fd for a descriptor.
func (t *Tree) descriptorLink(fd int) *Node {
	return &Node{Image: true, Ino: uint64(fd) + 1<<32, Kind: KindDescriptor, fs: fsProc, Special: fd, now: inode{mode: 0o700, nlink: 1}}
}
