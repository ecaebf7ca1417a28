package mesh

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Who is a node, as its certificate says.
type Who struct {
	Network string
	Node    config.NodeID
	Roles   []feed.Role
	Issued  time.Time // by control's clock
	Expires time.Time
}

// Guest says whether it is a machine that is no node.
func (w Who) Guest() bool { return w.Has(feed.RoleTunnel) || w.Has(feed.RoleOperator) }

// Has says whether the node has a role.
func (w Who) Has(role feed.Role) bool { return slices.Contains(w.Roles, role) }

const (
	uriScheme = "wherry"
	uriNode   = "/node/"
	rolesMax  = 16

	// controlName is a name that the certificates of control nodes have besides, for etcd to check.
	controlName = "control.wherry.internal"
	nodeDomain  = ".node.wherry.internal"
)

// HostOf returns the host name of a node, for URLs: Transport finds its address (Options.Resolve), and speaks to that node alone.
func HostOf(id config.NodeID) string { return string(id) + nodeDomain }

// uri says who it is: wherry://NETWORK/node/NAME?issued=NANOSECONDS&role=edge&role=dns. The time is there besides NotBefore because that
// one is in whole seconds, and a node may be removed and let in again within one.
func (w *Who) uri() *url.URL {
	query := url.Values{"issued": {strconv.FormatInt(w.Issued.UnixNano(), 10)}}
	for _, r := range w.Roles {
		query.Add("role", string(r))
	}
	return &url.URL{Scheme: uriScheme, Host: w.Network, Path: uriNode + string(w.Node), RawQuery: query.Encode()}
}

// whoOf reads a certificate whose signature has been verified.
func whoOf(c *x509.Certificate) (Who, error) {
	if len(c.URIs) != 1 {
		return Who{}, errors.New("not the certificate of a node")
	}
	w, err := parseURI(c.URIs[0])
	w.Expires = c.NotAfter
	return w, err
}

// parseURI takes what uri writes, and nothing else: there is one way to write who somebody is.
func parseURI(u *url.URL) (Who, error) {
	name, ok := strings.CutPrefix(u.Path, uriNode)
	query, err := url.ParseQuery(u.RawQuery)
	issued, numberErr := strconv.ParseInt(query.Get("issued"), 10, 64)
	if !ok || err != nil || numberErr != nil || len(query["role"]) > rolesMax {
		return Who{}, errors.New("not the certificate of a node")
	}
	w := Who{Network: u.Host, Node: config.NodeID(name), Issued: time.Unix(0, issued)}
	for _, r := range query["role"] {
		w.Roles = append(w.Roles, feed.Role(r))
	}
	if err := w.check(); err != nil {
		return Who{}, err
	}
	if w.uri().String() != u.String() {
		return Who{}, errors.New("not the certificate of a node of this version of wherry")
	}
	return w, nil
}

// check says what can't stand in a certificate.
func (w *Who) check() error {
	if err := checkNetwork(w.Network); err != nil {
		return err
	}
	if !config.IsLabel(string(w.Node)) {
		return fmt.Errorf("%.80q can't be the name of a node: write a DNS label, such as lisbon-1", w.Node)
	}
	if len(w.Roles) > rolesMax {
		return fmt.Errorf("the node %s has %d roles: at most %d", w.Node, len(w.Roles), rolesMax)
	}
	for i, r := range w.Roles {
		if !config.IsLabel(string(r)) || slices.Contains(w.Roles[:i], r) {
			return fmt.Errorf("%.80q can't be a role of the node %s", r, w.Node)
		}
	}
	return nil
}

func checkNetwork(name string) error {
	ok := len(name) <= 253
	for label := range strings.SplitSeq(name, ".") {
		ok = ok && config.IsLabel(label)
	}
	if !ok {
		return fmt.Errorf("%.80q can't be the name of a network: write a domain, such as cdn.example", name)
	}
	return nil
}
