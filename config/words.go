package config

import (
	"math/bits"
	"strconv"
)

// The words of the network. Each is a type of its own, so that a host can't be passed where a site's name is meant.
type (
	// Host is a DNS name in lower case without the final dot, such as shop.test, or an IP address.
	Host string
	// HostPattern is a Host, `*.` and a Host, or `*`.
	HostPattern string
	// PathPattern is an absolute path, a path that ends in /*, or `*.` and an extension.
	PathPattern string
	// Address is HOST:PORT, :PORT or `off`; the empty string means not set.
	Address string
	// Toggle is on or off; the empty string means not set.
	Toggle string
	// SiteName names a site: a DNS label.
	SiteName string
	// NodeID names a node: a DNS label.
	NodeID string
	// ClusterName names a cluster: a DNS label.
	ClusterName string
	// ProgramName names a program: a DNS label.
	ProgramName string
	// QueryKey says how the query enters the cache key: keep, sort or drop.
	QueryKey string
	// SetCookie says what becomes of a response with Set-Cookie: store, strip or refuse.
	SetCookie string
	// StatusPattern is a status code in decimal, or 5xx.
	StatusPattern string
	// Size is a number of bytes, written as 512, 64KiB, 32MiB, 2GiB or 1TiB.
	Size int64
)

// The values of QueryKey.
const (
	QueryKeep QueryKey = "keep"
	QuerySort QueryKey = "sort"
	QueryDrop QueryKey = "drop"
)

// The values of SetCookie.
const (
	SetCookieStore  SetCookie = "store"
	SetCookieStrip  SetCookie = "strip"
	SetCookieRefuse SetCookie = "refuse"
)

// Off is the Address of a closed door.
const Off Address = "off"

// The values of Toggle.
const ToggleOn, ToggleOff Toggle = "on", "off"

// HealthPath is where an edge tells whether it takes requests, at any Host: 200 while it does, 503 while it drains. The name
// server asks for it. It is neither logged nor counted.
const HealthPath = "/.well-known/wherry/health"

// String returns the size as Parse reads it, in the largest unit that leaves it whole.
func (s Size) String() string {
	unit := min(bits.TrailingZeros64(uint64(s))/10, len(sizeUnits()))
	if s == 0 || unit == 0 {
		return strconv.FormatInt(int64(s), 10)
	}
	return strconv.FormatInt(int64(s)>>(10*unit), 10) + sizeUnits()[unit-1]
}
