package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/links"
)

// DoorPath is the socket of what runs in a directory, in a folder of this user alone: paths of sockets are short.
func DoorPath(dir string) (string, error) {
	folder := filepath.Join(os.TempDir(), "wherry-lab-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	info, err := os.Lstat(folder)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s isn't a folder of yours alone: remove it", folder)
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(folder, hex.EncodeToString(sum[:12])+".sock"), nil
}

// ListenDoor opens the socket of a directory.
func ListenDoor(dir string) (net.Listener, error) {
	file, err := DoorPath(dir)
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file) // of a process that was killed
	return net.Listen("unix", file)
}

// AskDoor posts to what runs in a directory.
func AskDoor(ctx context.Context, dir, path string, body []byte) ([]byte, error) {
	file, err := DoorPath(dir)
	if err != nil {
		return nil, err
	}
	c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", file)
		},
	}}
	var text []byte
	err = ask(ctx, c, http.MethodPost, "http://door"+path, body, func(r io.Reader) (err error) {
		text, err = io.ReadAll(io.LimitReader(r, errorMax))
		return err
	})
	return text, err
}

// cutOrder is what a lab tells a node.
type cutOrder struct {
	All   bool            `json:"all"`
	Nodes []config.NodeID `json:"nodes"`
}

// Cut tells the node that runs in a directory that nothing passes between it and all others, or these.
func Cut(ctx context.Context, dir string, all bool, names []string) error {
	order := cutOrder{All: all}
	for _, name := range names {
		order.Nodes = append(order.Nodes, config.NodeID(name))
	}
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	_, err = AskDoor(ctx, dir, "/cut", body)
	return err
}

// meshesOf are where other nodes are reached by UDP.
func (n *Node) meshesOf(ctx context.Context, nodes []config.NodeID) (list []netip.AddrPort) {
	for _, id := range nodes {
		r, err := n.recordOf(id)
		if err != nil {
			continue // nobody has heard of it, so nobody sends to it
		}
		if at, err := links.Resolve(ctx, r.Mesh); err == nil {
			list = append(list, at)
		}
	}
	return list
}

// serveLab lets a lab cut the node off.
func (n *Node) serveLab(ctx context.Context) error {
	l, err := ListenDoor(n.o.Dir)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order cutOrder
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil || !strings.HasPrefix(r.URL.Path, "/cut") {
			http.Error(w, "what a lab says", http.StatusBadRequest)
			return
		}
		n.mesh.Cut(order.All, order.Nodes...)
		n.fence.Cut(order.All, n.meshesOf(r.Context(), order.Nodes))
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	_ = server.Close()
	<-done
	return nil
}
