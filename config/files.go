package config

import (
	"fmt"
	"maps"
	"slices"
)

// FileUse says what a file is for.
type FileUse string

// The uses of files.
const (
	FileCertificate FileUse = "certificate"  // read: PEM, leaf first
	FileKey         FileUse = "key"          // read: PEM, the private key of the certificate before it in Files
	FileCA          FileUse = "ca"           // read: PEM, one or more certificates
	FileGeo         FileUse = "geo database" // read: MaxMind DB
	FileAccessLog   FileUse = "access log"   // appended to, made if it isn't there
	FileImage       FileUse = "image"        // read: a program, from the directory of the configuration; or ImageHash and the hash of one
	FileFiles       FileUse = "files"        // a directory, read: what a program sees, from the directory of the configuration
	FileSecret      FileUse = "secret"       // read: the value of a variable, from the directory of the configuration
	FileVolume      FileUse = "cache volume" // a directory that is written to, made if it isn't there
)

// FileRef is a file that a configuration names, and where it does.
type FileRef struct {
	Name   string // as written; if not absolute, from the working directory
	Use    FileUse
	Path   string // in the configuration, such as sites[0].tls.key
	Line   int
	Column int
}

// Files returns the files that the network needs, in the order of the model, a key right behind its certificate. Parse has not
// looked at them: who does the I/O checks that they are there.
func (s *Snapshot) Files() []FileRef { return s.files }

func files(n *Network, places map[string]place) []FileRef {
	var refs []FileRef
	add := func(name string, use FileUse, path string) {
		if name != "" {
			at := places[path]
			refs = append(refs, FileRef{name, use, path, max(at.line, 1), max(at.column, 1)})
		}
	}
	add(n.DNS.GeoDatabase, FileGeo, "dns.geo_database")
	volumes := func(d *Disk, path string) {
		for i := range d.Volumes {
			add(d.Volumes[i].Dir, FileVolume, fmt.Sprintf("%s.volumes[%d].dir", path, i))
		}
	}
	volumes(&n.Disk, "disk")
	for i := range n.Clusters {
		for j := range n.Clusters[i].Nodes {
			volumes(&n.Clusters[i].Nodes[j].Disk, fmt.Sprintf("clusters[%d].nodes[%d].disk", i, j))
		}
	}
	switch n.Log.Access {
	case "stdout", "stderr", "off":
	default:
		add(n.Log.Access, FileAccessLog, "log.access")
	}
	for _, name := range slices.Sorted(maps.Keys(n.Programs)) {
		program, path := n.Programs[name], "programs."+string(name)
		add(program.Image, FileImage, path+".image")
		add(program.Files, FileFiles, path+".files")
		for _, variable := range slices.Sorted(maps.Keys(program.Secrets)) {
			add(program.Secrets[variable], FileSecret, path+".secrets."+variable)
		}
	}
	for i := range n.Sites {
		site, path := &n.Sites[i], fmt.Sprintf("sites[%d]", i)
		add(site.Fetch.CAFile, FileCA, path+".fetch.ca_file")
		if site.TLS != nil {
			add(site.TLS.Certificate, FileCertificate, path+".tls.certificate")
			add(site.TLS.Key, FileKey, path+".tls.key")
		}
	}
	return refs
}
