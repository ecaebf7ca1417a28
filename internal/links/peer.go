package links

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/tunnel"
)

// Fields between nodes. Clients can't set them: an edge takes off what it doesn't know of the kind (X-Forwarded-For), or they only make it ask the
// origin (directField).
const (
	positionField = "Wherry-Position" // what the asking node has heard from control
	directField   = "Wherry-Direct"   // ask the origin, nobody else
	behindField   = "Wherry-Behind"   // on 503: this node hasn't applied what the asking one has heard of
)

// ownHost is the host of requests for the node itself.
const ownHost = "links.wherry.internal"

const (
	nearPath    = "/near"
	bulkPath    = "/bulk"
	offersPath  = "/offers"   // whether a tunnel ends at this node
	catchUpMax  = time.Second // that a request waits for this node to catch up
	nearSites   = 64
	bulkMax     = 1 << 30
	answerBytes = 1 << 20
)

// peerHandler answers the requests of one other node.
func (l *Links) peerHandler(k *link) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == ownHost {
			l.serveOwn(w, r)
			return
		}
		var handler http.Handler
		if l.o.Edge != nil {
			handler = l.o.Edge()
		}
		if handler == nil || !l.caughtUp(r) {
			w.Header().Set(behindField, "1")
			http.Error(w, "this node can't answer for the site now", http.StatusServiceUnavailable)
			return
		}
		l.parents.asked(k.node, l)
		handler.ServeHTTP(w, asClients(r))
	})
}

// asClients makes a peer's request look as its client sent it.
func asClients(r *http.Request) *http.Request {
	out := r.Clone(edge.FromPeer(r.Context()))
	if client := out.Header.Get("X-Forwarded-For"); client != "" {
		out.RemoteAddr = net.JoinHostPort(client, "0")
	}
	out.Header.Del(positionField)
	out.Header.Set(directField, "1")
	if exchange.Scheme(r) == "https" {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		out.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: host}
	}
	return out
}

// caughtUp waits a moment until this node has applied what the asking one has heard of, so that nothing is had from here that was purged there.
func (l *Links) caughtUp(r *http.Request) bool {
	want, ok := parsePosition(r.Header.Get(positionField))
	if !ok {
		return true
	}
	for end := time.Now().Add(catchUpMax); l.o.Done().Before(want); {
		if time.Now().After(end) || r.Context().Err() != nil {
			return false
		}
		time.Sleep(2 * time.Millisecond)
	}
	return true
}

func parsePosition(s string) (p feed.Position, ok bool) {
	epoch, seq, found := strings.Cut(s, ".")
	var err1, err2 error
	p.Epoch, err1 = strconv.ParseUint(epoch, 10, 64)
	p.Seq, err2 = strconv.ParseUint(seq, 10, 64)
	return p, found && err1 == nil && err2 == nil
}

// serveOwn answers what is asked of the node itself.
func (l *Links) serveOwn(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case nearPath:
		sites := r.URL.Query()["site"]
		answer := map[config.SiteName]int64{}
		for _, s := range sites[:min(len(sites), nearSites)] {
			if l.o.Near == nil {
				break
			}
			if d := l.o.Near(r.Context(), config.SiteName(s)); d > 0 {
				answer[config.SiteName(s)] = d.Microseconds()
			}
		}
		_ = json.NewEncoder(w).Encode(answer)
	case offersPath:
		what := offer{tunnel.HTTP, config.SiteName(r.URL.Query().Get("site"))}
		if r.URL.Query().Get("over") == tunnel.TCP.String() {
			what.protocol = tunnel.TCP
		}
		_ = json.NewEncoder(w).Encode(l.tunnels.offered(what))
	case bulkPath:
		ServeBulk(w, r)
	case linksPath:
		_ = json.NewEncoder(w).Encode(l.report())
	default:
		http.NotFound(w, r)
	}
}

// ServeBulk answers with as many bytes as the query's bytes asks for, at most a GiB.
func ServeBulk(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
	if err != nil || n < 0 || n > bulkMax {
		http.Error(w, fmt.Sprintf("bytes must be from 0 to %d", bulkMax), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	_, _ = io.CopyN(w, zeros{}, n)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// askOwn asks another node about itself.
func (l *Links) askOwn(ctx context.Context, node config.NodeID, path string, query url.Values, into any) error {
	k, err := l.to(ctx, node)
	if err != nil {
		return err
	}
	u := url.URL{Scheme: "https", Host: ownHost, Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := k.http.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the node %s answers %s", node, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, answerBytes)).Decode(into)
}
