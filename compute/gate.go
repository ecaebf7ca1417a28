package compute

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wherry/wherry/vmm/linux/file"
)

// Asker is the call that a request to Options.Gate came from.
type Asker struct {
	Program, Tenant string
	Call            context.Context // of the request that is being answered: its values, and an end with the call
}

type askerKey struct{}

// WithAsker is for who answers in the place of a Host: it says who made a request.
func WithAsker(ctx context.Context, a Asker) context.Context {
	return context.WithValue(ctx, askerKey{}, a)
}

// AskerOf is who made the request of a context, if it came to a gate.
func AskerOf(ctx context.Context) (Asker, bool) {
	switch v := ctx.Value(askerKey{}).(type) {
	case *gate:
		return Asker{Program: v.job.program.name, Tenant: v.job.tenant, Call: v.ctx}, true
	case Asker:
		return v, true
	}
	return Asker{}, false
}

// gate is where the program of one call asks. What isn't said to be others' is the worker's.
type gate struct {
	job    *job
	limits Limits
	ctx    context.Context // the call's; anybody's
	cancel context.CancelFunc
	conns  []*gateConn
	made   int // connections so far

	asked atomic.Int64 // requests
	sent  atomic.Int64 // bytes of responses
}

const (
	// gateConnsMax is how many connections a call has at the gate at the same time: others wait to be taken, up to socket.CalledMax.
	gateConnsMax = 16
	// gateHeadMax bounds a request's header section, less what net/http allows beyond.
	gateHeadMax = 32<<10 - 4<<10
)

// mayAsk reports whether i's program finds the gate open.
func (h *Host) mayAsk(i *instance) bool {
	return h.gates != nil && i.version.spec.Limits.Subrequests > 0
}

// moveGate takes new connections of j's program and moves the bytes of all, and reports whether there were any.
func (h *Host) moveGate(j *job, i *instance) (moved bool) {
	if !h.mayAsk(i) {
		return false
	}
	files := i.machine.Process().Files
	for j.gate == nil || len(j.gate.conns) < gateConnsMax {
		c := files.Called()
		if c == nil {
			break
		}
		if j.gate == nil {
			j.gate = &gate{job: j, limits: i.version.spec.Limits}
			j.gate.ctx, j.gate.cancel = context.WithCancel(j.ctx)
		}
		h.gates.accept(j.gate.take(c))
		moved = true
		if j.gate.made++; j.gate.made >= j.gate.limits.Subrequests+gateConnsMax { // more aren't made to ask
			files.Gate(false)
		}
	}
	if j.gate == nil {
		return false
	}
	j.gate.conns = slices.DeleteFunc(j.gate.conns, func(c *gateConn) bool {
		more, over := c.move(i.room())
		if moved = moved || more || over; over {
			c.conn.Close()
		}
		return over
	})
	return moved
}

func (g *gate) take(c *file.Conn) *gateConn {
	n := newGateConn(g, c)
	g.conns = append(g.conns, n)
	return n
}

// silent reports whether nothing can come from the gate.
func (g *gate) silent() bool { return g == nil || len(g.conns) == 0 }

// close ends all connections, and what is being answered.
func (g *gate) close() {
	if g == nil {
		return
	}
	g.cancel()
	for _, c := range g.conns {
		c.abort()
		c.conn.Close()
	}
	g.conns = nil
}

// gates are those of all calls under way, at which one server answers. It is a net.Listener.
type gates struct {
	host   *Host
	server *http.Server
	conns  chan *gateConn
	closed chan struct{}
	once   sync.Once
	alive  sync.WaitGroup // connections that the server has
	count  atomic.Int64   // of them
}

var _ net.Listener = (*gates)(nil)

func newGates(h *Host) *gates {
	g := &gates{host: h, conns: make(chan *gateConn), closed: make(chan struct{})}
	g.server = &http.Server{
		Handler: g, MaxHeaderBytes: gateHeadMax,
		ErrorLog: slog.NewLogLogger(h.options.Log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, askerKey{}, c.(*gateConn).gate)
		},
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed || s == http.StateHijacked {
				g.count.Add(-1)
				g.alive.Done()
			}
		},
	}
	g.server.Protocols = new(http.Protocols)
	g.server.Protocols.SetHTTP1(true)
	return g
}

// serve answers until close.
func (g *gates) serve() {
	if err := g.server.Serve(g); err != http.ErrServerClosed {
		g.host.options.Log.Error("BUG: the gate's server ended; programs can't ask any more", "error", err)
	}
}

// close ends the server, when there are no calls any more, and waits for what it began.
func (g *gates) close() {
	_ = g.server.Close() // the connections' Close has no error
	g.alive.Wait()
}

// accept has the server have a connection.
func (g *gates) accept(c *gateConn) {
	g.alive.Add(1)
	g.count.Add(1)
	g.conns <- c // the server is there as long as workers are
}

// Accept implements net.Listener.
func (g *gates) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (g *gates) Close() error {
	g.once.Do(func() { close(g.closed) })
	return nil
}

// Addr implements net.Listener.
func (g *gates) Addr() net.Addr { return gateAddr{} }

// gateAddr is the gate's address as programs see it.
type gateAddr struct{}

func (gateAddr) Network() string { return "gate" }
func (gateAddr) String() string  { return fmt.Sprintf("%s:%d", file.GateAddress, file.GatePort) }

// ServeHTTP has Options.Gate answer, within the limits of the call.
func (g *gates) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(askerKey{}).(*gate)
	if n := c.asked.Add(1); n > int64(c.limits.Subrequests) {
		if n == int64(c.limits.Subrequests)+1 {
			g.host.countError(c.job.program, "subrequests")
		}
		http.Error(w, fmt.Sprintf("this call has made its %d subrequests; raise the program's limit subrequests, or ask for less", c.limits.Subrequests), http.StatusTooManyRequests)
		return
	}
	if r.Method == http.MethodConnect {
		w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS") // RFC 9110 §15.5.6
		http.Error(w, "no tunnels here: ask by http://, also for what is https:// elsewhere", http.StatusMethodNotAllowed)
		return
	}
	if r.ContentLength > c.limits.Input {
		http.Error(w, (&LimitError{"input"}).Error(), http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, c.limits.Input)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	g.host.options.Gate.ServeHTTP(w, r.WithContext(ctx))
}
