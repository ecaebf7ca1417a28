package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/values"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

const (
	dryRunPath  = "/node/v1/dry-run"
	dryRunMax   = 64 << 20
	feedFront   = "/feed/"
	headersWait = 10 * time.Second
	meshIdle    = 2 * time.Minute
)

// serveMesh answers other nodes, and machines that want to be nodes.
func (n *Node) serveMesh(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle(feedFront, n.tree.Handler())
	mux.HandleFunc(control.NodePrefix, n.toStation(func(st *station) http.Handler { return st.nodes }))
	mux.HandleFunc("POST "+values.Path, n.toStation(func(st *station) http.Handler { return st.values }))
	mux.Handle(api.Prefix+"/", n.api())
	mux.HandleFunc("POST "+dryRunPath, n.serveDryRun)
	if n.images != nil {
		mux.HandleFunc("GET "+imagePath+"{hash}", n.serveImage)
	}
	n.serveWays(mux)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: headersWait, IdleTimeout: meshIdle, ErrorLog: quietLog(n.log),
	}
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(n.mesh.Listener(n.meshDoor, mesh.ListenOptions{Anonymous: true, Allow: onlyNodes}))
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	_ = server.Close() // streams of the feed don't end by themselves
	<-done
	return nil
}

// toStation hands over to control, if it runs here.
func (n *Node) toStation(handler func(*station) http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if st := n.station.Load(); st != nil {
			handler(st).ServeHTTP(w, r)
			return
		}
		http.Error(w, "control doesn't run on this node", http.StatusServiceUnavailable)
	}
}

// serveDryRun answers control.
func (n *Node) serveDryRun(w http.ResponseWriter, r *http.Request) {
	who, ok := mesh.PeerOf(r)
	if !ok || !slices.Contains(who.Roles, feed.RoleControl) {
		http.Error(w, "only control has something tried", http.StatusForbidden)
		return
	}
	var d control.DryRun
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, dryRunMax)).Decode(&d); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	err := n.dryRun(r.Context(), d)
	var no *control.DryRunRefusal
	switch {
	case err == nil:
		w.WriteHeader(http.StatusOK)
	case errors.As(err, &no):
		http.Error(w, no.Why, http.StatusUnprocessableEntity)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// api answers the API: control, if it runs here, else a control node that is asked in its place.
func (n *Node) api() http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: n.toControl, ErrorLog: quietLog(n.log),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "https", ""
			if all := n.controls(); len(all) > 0 {
				r.Out.URL.Host = all[int(time.Now().UnixNano()/int64(time.Second))%len(all)]
			}
			r.Out.Host = r.Out.URL.Host
			r.Out.Header.Set(proxiedField, "1")
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			unavailable(w, "no control node answers: "+err.Error())
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch st := n.station.Load(); {
		case st != nil:
			st.api.ServeHTTP(w, r)
		case r.Header.Get(proxiedField) != "":
			unavailable(w, "control doesn't run on this node yet")
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// proxiedField keeps a request from being handed on for ever.
const proxiedField = "Wherry-Proxied"

func unavailable(w http.ResponseWriter, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"title": "Control can't be reached", "status": http.StatusServiceUnavailable, "detail": strings.TrimSpace(detail) + ".",
		"action": "Look at the control nodes; edges serve on meanwhile. Or ask one of them with --server.",
	})
}
