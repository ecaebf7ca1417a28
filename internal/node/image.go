package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/compute/image"
	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/node/images"
	"github.com/wherry/wherry/mesh"
)

const (
	imagePath = "/node/v1/images/"
	// imagePatience is how long control may take for a step of an image; each relay above one that is asked adds as much.
	imagePatience = 5 * time.Second
	// lastPatience is that of whoever is asked last.
	lastPatience = 30 * time.Second
)

// The kinds of sources of images.
const (
	fromRelay   = "relay"
	fromControl = "control"
)

// openImages opens the images of this node; control nodes that are no edges have theirs in the keeper.
func (n *Node) openImages() *images.Images {
	if n.s.has(feed.RoleControl) && !n.s.has(feed.RoleEdge) {
		return nil
	}
	return images.New(images.Options{
		Dir: n.path(image.Dir), Sources: n.imageSources, Named: n.named.of(n), Relay: !n.s.has(feed.RoleEdge), Log: n.log, Metrics: images.NewMetrics(n.registry),
	})
}

// imageSources are this node's control; or whom the node follows, then all control nodes, in another order at each node.
func (n *Node) imageSources() (list []images.Source) {
	if st := n.station.Load(); st != nil {
		return []images.Source{{Name: "this node's control", Kind: fromControl, Patience: lastPatience, Open: func(ctx context.Context, h feed.Hash, _ int64) (images.Opened, error) {
			path, err := st.control.Program(ctx, h)
			if err != nil {
				return images.Opened{}, err
			}
			return openFile(path)
		}}}
	}
	parent, relays := n.tree.Above()
	controls := n.controls()
	slices.SortFunc(controls, func(a, b string) int { return cmp.Compare(n.orderOf(a), n.orderOf(b)) })
	if i := slices.Index(controls, parent); i >= 0 {
		controls[0], controls[i] = controls[i], controls[0]
	} else if parent != "" {
		list = append(list, images.Source{
			Name: parent, Kind: fromRelay, Patience: imagePatience * time.Duration(relays+1), Open: n.askImage(n.transport, "https://"+parent+imagePath),
		})
	}
	for _, at := range controls {
		list = append(list, images.Source{
			Name: at, Kind: fromControl, Patience: imagePatience, Open: n.askImage(n.toControl, "https://"+at+control.NodePrefix+"programs/"),
		})
	}
	if len(list) > 0 {
		list[len(list)-1].Patience = lastPatience
	}
	return list
}

// orderOf orders addresses, otherwise for each node.
func (n *Node) orderOf(address string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, address+" "+string(n.s.Name))
	return h.Sum64()
}

func openFile(path string) (o images.Opened, err error) {
	f, err := os.Open(path)
	if err != nil {
		return o, err
	}
	info, err := f.Stat()
	if err != nil {
		return o, errors.Join(err, f.Close())
	}
	return images.Opened{ReadCloser: f, Size: info.Size()}, nil
}

// askImage asks one node for an image, or for the rest of it (RFC 9110 §14.2).
func (n *Node) askImage(transport http.RoundTripper, url string) func(context.Context, feed.Hash, int64) (images.Opened, error) {
	return func(ctx context.Context, h feed.Hash, from int64) (o images.Opened, err error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+h.String(), nil)
		if err != nil {
			return o, err
		}
		if from > 0 {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
			req.Header.Set("If-Range", strconv.Quote(h.String()))
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return o, err
		}
		switch o = (images.Opened{ReadCloser: resp.Body, Size: resp.ContentLength}); resp.StatusCode {
		case http.StatusOK:
			return o, nil
		case http.StatusPartialContent:
			o.At, o.Size = from, from+resp.ContentLength
			return o, nil
		case http.StatusRequestedRangeNotSatisfiable: // all of it is here
			o.ReadCloser, o.At, o.Size = http.NoBody, from, from
			return o, resp.Body.Close()
		}
		text, _ := io.ReadAll(io.LimitReader(resp.Body, errorMax))
		return o, errors.Join(&statusError{resp.StatusCode, strings.TrimSpace(string(text))}, resp.Body.Close())
	}
}

// serveImage gives an image to a node that follows this one, if settings name it that hold somewhere or are being rolled out. What is only tried on a canary is between that and control.
func (n *Node) serveImage(w http.ResponseWriter, r *http.Request) {
	who, ok := mesh.PeerOf(r)
	if !ok || !n.tree.Follows(who.Node) {
		http.Error(w, "images are for nodes that follow this one", http.StatusForbidden)
		return
	}
	var h feed.Hash
	if err := h.UnmarshalText([]byte(r.PathValue("hash"))); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !n.named.of(n)()[h] {
		http.Error(w, "no settings name this image", http.StatusNotFound)
		return
	}
	n.images.Serve(w, r, who.Node, h)
}

// namedImages are the images that the network's settings name: those that hold, and those that are rolled out.
type namedImages struct {
	mu   sync.Mutex // protects what follows
	refs []feed.Ref // of the settings that were read
	by   map[feed.Hash]bool
}

// of returns who looks for them. Nobody may change what that returns.
func (i *namedImages) of(n *Node) func() map[feed.Hash]bool {
	return func() map[feed.Hash]bool {
		var refs []feed.Ref
		n.keeper.View(func(s *feed.State) { refs = s.Hold(feed.KeyNetwork) })
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.by != nil && slices.Equal(refs, i.refs) {
			return i.by
		}
		named, whole := map[feed.Hash]bool{}, true
		for _, ref := range refs {
			settings, err := n.keeper.Object(ref.Object) // small: it has come before its entry, or this node asks for it soon
			whole = whole && err == nil
			feed.FindImages(settings, named)
		}
		if whole {
			i.refs, i.by = refs, named
		}
		return named
	}
}
