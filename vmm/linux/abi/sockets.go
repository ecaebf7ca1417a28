package abi

// Families, types and flags of sockets.
const (
	AF_UNSPEC      = 0
	AF_UNIX        = 1
	AF_INET        = 2
	AF_INET6       = 10
	AF_NETLINK     = 0x10
	SOCK_STREAM    = 1
	SOCK_DGRAM     = 2
	SOCK_RAW       = 3
	SOCK_SEQPACKET = 5
	SOCK_NONBLOCK  = 0x800
	SOCK_CLOEXEC   = 0x80000
	SOMAXCONN      = 0x1000
)

// Protocols.
const (
	IPPROTO_IP   = 0
	IPPROTO_TCP  = 6
	IPPROTO_UDP  = 0x11
	IPPROTO_IPV6 = 0x29
)

// Options at SOL_SOCKET.
const (
	SOL_SOCKET      = 1
	SO_DEBUG        = 1
	SO_REUSEADDR    = 2
	SO_TYPE         = 3
	SO_ERROR        = 4
	SO_DONTROUTE    = 5
	SO_BROADCAST    = 6
	SO_SNDBUF       = 7
	SO_RCVBUF       = 8
	SO_KEEPALIVE    = 9
	SO_OOBINLINE    = 10
	SO_PRIORITY     = 12
	SO_LINGER       = 13
	SO_REUSEPORT    = 15
	SO_PASSCRED     = 0x10
	SO_PEERCRED     = 0x11
	SO_RCVLOWAT     = 0x12
	SO_SNDLOWAT     = 0x13
	SO_RCVTIMEO     = 0x14
	SO_SNDTIMEO     = 0x15
	SO_ACCEPTCONN   = 0x1e
	SO_PROTOCOL     = 0x26
	SO_DOMAIN       = 0x27
	SO_INCOMING_CPU = 0x31
)

// Options of TCP and IPv6.
const (
	TCP_NODELAY      = 1
	TCP_MAXSEG       = 2
	TCP_CORK         = 3
	TCP_KEEPIDLE     = 4
	TCP_KEEPINTVL    = 5
	TCP_KEEPCNT      = 6
	TCP_DEFER_ACCEPT = 9
	TCP_INFO         = 11
	TCP_QUICKACK     = 12
	TCP_USER_TIMEOUT = 0x12
	TCP_FASTOPEN     = 0x17
	IPV6_V6ONLY      = 0x1a
)

// Flags of a message.
const (
	MSG_OOB          = 1
	MSG_PEEK         = 2
	MSG_DONTROUTE    = 4
	MSG_CTRUNC       = 8
	MSG_TRUNC        = 0x20
	MSG_DONTWAIT     = 0x40
	MSG_WAITALL      = 0x100
	MSG_NOSIGNAL     = 0x4000
	MSG_MORE         = 0x8000
	MSG_CMSG_CLOEXEC = 0x40000000
)

// What shutdown ends.
const (
	SHUT_RD   = 0
	SHUT_WR   = 1
	SHUT_RDWR = 2
)
