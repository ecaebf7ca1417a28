package cache

import (
	"maps"
	"net/http"
	"net/textproto"
	"sync"

	"github.com/wherry/wherry/cache/field"
)

// interim forwards 1xx responses to the client until the final one is there or the client has left.
type interim struct {
	mu   sync.Mutex // protects what follows, and w while open
	w    http.ResponseWriter
	open bool
}

func (i *interim) forward(code int, h textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.open || code == http.StatusContinue || code == http.StatusSwitchingProtocols {
		return nil
	}
	out := i.w.Header()
	kept := out.Clone()
	clear(out)
	maps.Copy(out, http.Header(h).Clone())
	field.EndHop(out)
	i.w.WriteHeader(code)
	clear(out)
	maps.Copy(out, kept)
	return nil
}

func (i *interim) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.open = false
}
