package tree

// PageSize is that of memory files.
const PageSize = 4096

// NameMax is NAME_MAX: ENAMETOOLONG.
const NameMax = 255

const (
	pathMax       = 4096  // PATH_MAX, with the 0 behind it: ENAMETOOLONG
	nlinkMax      = 65000 // names of one file: EMLINK
	linksMax      = 40    // MAXSYMLINKS: ELOOP
	depthMax      = 256   // directories in one another in a memory file system: ENAMETOOLONG
	imageFilesMax = 65536
	imageBytesMax = 512 << 20
	mountsMax     = 240  // as Node.fs and Node.mount count
	spareMax      = 1024 // directories that memory file systems of a root file system begin with
	spareDepthMax = 64   // in one another
)
