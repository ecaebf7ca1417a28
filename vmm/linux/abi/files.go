package abi

// Flags of open (include/uapi/asm-generic/fcntl.h).
const (
	O_RDONLY    = 0
	O_WRONLY    = 1
	O_RDWR      = 2
	O_ACCMODE   = 3
	O_CREAT     = 0x40
	O_EXCL      = 0x80
	O_NOCTTY    = 0x100
	O_TRUNC     = 0x200
	O_APPEND    = 0x400
	O_NONBLOCK  = 0x800
	O_DSYNC     = 0x1000
	O_DIRECT    = 0x4000
	O_DIRECTORY = 0x10000
	O_NOFOLLOW  = 0x20000
	O_NOATIME   = 0x40000
	O_CLOEXEC   = 0x80000
	O_SYNC      = 0x101000
	O_PATH      = 0x200000
	O_LARGEFILE = 0x8000 // which F_GETFL tells of files
	O_TMPFILE   = 0x410000
)

// Types and permissions of a file (include/uapi/linux/stat.h).
const (
	S_IFMT   = 0xf000
	S_IFSOCK = 0xc000
	S_IFLNK  = 0xa000
	S_IFREG  = 0x8000
	S_IFBLK  = 0x6000
	S_IFDIR  = 0x4000
	S_IFCHR  = 0x2000
	S_IFIFO  = 0x1000
	S_ISUID  = 0x800
	S_ISGID  = 0x400
	S_ISVTX  = 0x200
)

// Flags and the descriptor of the ...at calls.
const (
	AT_FDCWD            = -100
	AT_SYMLINK_NOFOLLOW = 0x100
	AT_REMOVEDIR        = 0x200
	AT_EACCESS          = 0x200
	AT_SYMLINK_FOLLOW   = 0x400
	AT_NO_AUTOMOUNT     = 0x800
	AT_EMPTY_PATH       = 0x1000
	AT_STATX_FORCE_SYNC = 0x2000
	AT_STATX_DONT_SYNC  = 0x4000
)

// What access asks.
const (
	F_OK = 0
	X_OK = 1
	W_OK = 2
	R_OK = 4
)

// Kinds of renaming.
const (
	RENAME_NOREPLACE = 1
	RENAME_EXCHANGE  = 2
	RENAME_WHITEOUT  = 4
)

// Types in a directory entry.
const (
	DT_NULL       = 0
	DT_UNKNOWN    = 0
	DT_FIFO       = 1
	DT_NEEDED     = 1
	DT_CHR        = 2
	DT_PLTRELSZ   = 2
	DT_PLTGOT     = 3
	DT_DIR        = 4
	DT_HASH       = 4
	DT_STRTAB     = 5
	DT_BLK        = 6
	DT_SYMTAB     = 6
	DT_RELA       = 7
	DT_REG        = 8
	DT_RELASZ     = 8
	DT_RELAENT    = 9
	DT_LNK        = 10
	DT_STRSZ      = 10
	DT_SYMENT     = 11
	DT_INIT       = 12
	DT_SOCK       = 12
	DT_FINI       = 13
	DT_SONAME     = 14
	DT_WHT        = 14
	DT_RPATH      = 15
	DT_SYMBOLIC   = 0x10
	DT_REL        = 0x11
	DT_RELSZ      = 0x12
	DT_RELENT     = 0x13
	DT_PLTREL     = 0x14
	DT_DEBUG      = 0x15
	DT_TEXTREL    = 0x16
	DT_JMPREL     = 0x17
	DT_ENCODING   = 0x20
	DT_LOOS       = 0x6000000d
	DT_HIOS       = 0x6ffff000
	DT_VALRNGLO   = 0x6ffffd00
	DT_VALRNGHI   = 0x6ffffdff
	DT_ADDRRNGLO  = 0x6ffffe00
	DT_GNU_HASH   = 0x6ffffef5
	DT_ADDRRNGHI  = 0x6ffffeff
	DT_VERSYM     = 0x6ffffff0
	DT_RELACOUNT  = 0x6ffffff9
	DT_RELCOUNT   = 0x6ffffffa
	DT_FLAGS_1    = 0x6ffffffb
	DT_VERDEF     = 0x6ffffffc
	DT_VERDEFNUM  = 0x6ffffffd
	DT_VERNEED    = 0x6ffffffe
	DT_VERNEEDNUM = 0x6fffffff
	DT_LOPROC     = 0x70000000
	DT_HIPROC     = 0x7fffffff
)

// Where lseek begins.
const (
	SEEK_SET  = 0
	SEEK_CUR  = 1
	SEEK_END  = 2
	SEEK_DATA = 3
	SEEK_HOLE = 4
)

// Commands of fcntl.
const (
	F_DUPFD         = 0
	F_GETFD         = 1
	F_SETFD         = 2
	F_GETFL         = 3
	F_SETFL         = 4
	F_GETLK         = 5
	F_SETLK         = 6
	F_SETLKW        = 7
	F_SETOWN        = 8
	F_GETOWN        = 9
	F_SETSIG        = 10
	F_GETSIG        = 11
	F_DUPFD_CLOEXEC = 0x406
	F_SETPIPE_SZ    = 0x407
	F_GETPIPE_SZ    = 0x408
	F_ADD_SEALS     = 0x409
	F_GET_SEALS     = 0x40a
	FD_CLOEXEC      = 1
	F_RDLCK         = 0
	F_WRLCK         = 1
	F_UNLCK         = 2
	F_SEAL_SEAL     = 1
	F_SEAL_SHRINK   = 2
	F_SEAL_GROW     = 4
	F_SEAL_WRITE    = 8
)

// Flags of fallocate.
const (
	FALLOC_FL_ALLOCATE_RANGE = 0
	FALLOC_FL_KEEP_SIZE      = 1
	FALLOC_FL_PUNCH_HOLE     = 2
	FALLOC_FL_NO_HIDE_STALE  = 4
	FALLOC_FL_COLLAPSE_RANGE = 8
	FALLOC_FL_ZERO_RANGE     = 0x10
	FALLOC_FL_INSERT_RANGE   = 0x20
	FALLOC_FL_UNSHARE_RANGE  = 0x40
	FALLOC_FL_WRITE_ZEROES   = 0x80
)

// Flags of memfd_create.
const (
	MFD_CLOEXEC       = 1
	MFD_ALLOW_SEALING = 2
	MFD_HUGETLB       = 4
)

// Flags of close_range.
const (
	CLOSE_RANGE_UNSHARE = 2
	CLOSE_RANGE_CLOEXEC = 4
)

// Requests of ioctl.
const (
	TCGETS     = 0x5401
	TCSETS     = 0x5402
	TIOCGPGRP  = 0x540f
	TIOCGWINSZ = 0x5413
	FIONREAD   = 0x541b
	FIONBIO    = 0x5421
	FIONCLEX   = 0x5450
	FIOCLEX    = 0x5451
	FIOASYNC   = 0x5452
)

// What statx is asked for and answers.
const (
	STATX_TYPE              = 1
	STATX_MODE              = 2
	STATX_ATTR_COMPRESSED   = 4
	STATX_NLINK             = 4
	STATX_UID               = 8
	STATX_ATTR_IMMUTABLE    = 0x10
	STATX_GID               = 0x10
	STATX_ATIME             = 0x20
	STATX_ATTR_APPEND       = 0x20
	STATX_ATTR_NODUMP       = 0x40
	STATX_MTIME             = 0x40
	STATX_CTIME             = 0x80
	STATX_INO               = 0x100
	STATX_SIZE              = 0x200
	STATX_BLOCKS            = 0x400
	STATX_BASIC_STATS       = 0x7ff
	STATX_ATTR_ENCRYPTED    = 0x800
	STATX_BTIME             = 0x800
	STATX_ALL               = 0xfff
	STATX_ATTR_AUTOMOUNT    = 0x1000
	STATX_MNT_ID            = 0x1000
	STATX_ATTR_MOUNT_ROOT   = 0x2000
	STATX_DIOALIGN          = 0x2000
	STATX_MNT_ID_UNIQUE     = 0x4000
	STATX_SUBVOL            = 0x8000
	STATX_WRITE_ATOMIC      = 0x10000
	STATX_DIO_READ_ALIGN    = 0x20000
	STATX_ATTR_VERITY       = 0x100000
	STATX_ATTR_DAX          = 0x200000
	STATX_ATTR_WRITE_ATOMIC = 0x400000
)

// Magic numbers of file systems in statfs.
const (
	TMPFS_MAGIC      = 0x1021994
	PROC_SUPER_MAGIC = 0x9fa0
	RAMFS_MAGIC      = 0x858458f6
	SYSFS_MAGIC      = 0x62656572
	SQUASHFS_MAGIC   = 0x73717368
	PIPEFS_MAGIC     = 0x50495045
)

// Special times of utimensat.
const (
	UTIME_NOW  = 0x3fffffff
	UTIME_OMIT = 0x3ffffffe
)
