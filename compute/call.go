package compute

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/internal/cputime"
	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/file"
)

// job is one request.
type job struct {
	host    *Host
	ctx     context.Context
	request *http.Request
	program *program
	tenant  string
	way     way
	held    int64       // bytes that are held for it while it waits for an instance
	done    chan result // has room for the one that comes

	began    bool        // it has an instance; the worker's, as what follows
	cold     bool        // which was started for it
	leave    func() bool // ends that the client's leaving is heard; nil where nobody can leave
	last     linux.Stop  // why the program's last turn ended
	ended    bool        // and there is no other
	deadline time.Time
	used     time.Duration // the program's CPU time when it began
	gate     *gate         // nil before the program asks

	connection *Connection // with PerConnection
	instance   *instance   // that it has; Host.mu guards it, and what follows
	woken      bool        // since a worker looked
}

// size is what it takes of the queue.
func (j *job) size() int64 {
	if j.instance != nil {
		return 0
	}
	return j.held
}

// way is how a request comes to a program, and the response back. But for end, which anybody may call, it is the worker's.
type way interface {
	// open begins, on an instance that nobody else has.
	open(i *instance) error
	// move moves bytes, as far as there are some and there is room for them, and reports whether there were any.
	move(i *instance) (moved bool, err error)
	// judge reports whether the call is over and how it went, after move has failed or not.
	judge(ctx context.Context, failed error) (o outcome, over bool)
	// pause says that others have their turns: what there is of the response is given to who asked.
	pause()
	// tell gives the result to who asked.
	tell(r result)
	// close ends what open began.
	close()
	// end tells that there will be no result but the one that was told.
	end(err error)
}

// result is what became of a job.
type result struct {
	response *http.Response
	err      error
}

// outcome is what a call did, for the counts and for what becomes of the instance.
type outcome struct {
	result
	cpu   time.Duration
	limit string // that was passed
	keep  bool   // the program waits for the next call
}

// RoundTripper asks the program of a name: the one that has the name when a request is asked.
func (h *Host) RoundTripper(name string) http.RoundTripper { return asker{h, name} }

type asker struct {
	host *Host
	name string
}

var _ http.RoundTripper = asker{}

// RoundTrip implements http.RoundTripper.
func (a asker) RoundTrip(r *http.Request) (*http.Response, error) {
	h := a.host
	p, spec, port := h.find(a.name)
	if p == nil {
		closeBody(r)
		return nil, errUnknown(a.name)
	}
	j := &job{host: h, ctx: r.Context(), request: r, program: p, tenant: spec.Tenant, done: make(chan result, 1)}
	if spec.Isolation == PerConnection {
		j.connection = connectionOf(j.ctx)
	}
	x, err := newExchange(j, spec.Limits, port != 0)
	if err != nil {
		closeBody(r)
		h.countInput(p, err)
		return nil, err
	}
	j.way, j.held = x, int64(len(x.in))
	if x.uploads {
		go x.upload()
	} else {
		closeBody(r)
	}
	response, err := h.await(j)
	if err != nil {
		x.end(err) // which ends the upload
	}
	return response, err
}

// countInput counts a request that was too large.
func (h *Host) countInput(p *program, err error) {
	var f *fault.Error
	if errors.As(err, &f) && f.Status == http.StatusRequestEntityTooLarge {
		h.countError(p, "input")
	}
}

// await has j done, and returns what came of it.
func (h *Host) await(j *job) (*http.Response, error) {
	if refused, err := h.enqueue(j); err != nil {
		return nil, err
	} else if refused != nil {
		refused.done <- result{response: overloaded(refused.request)}
		refused.way.end(errOver)
	}
	select {
	case r := <-j.done:
		return r.response, r.err
	case <-j.ctx.Done():
	}
	h.mu.Lock()
	waited := j.instance == nil && h.queue.remove(j)
	h.mu.Unlock()
	if waited {
		return nil, stopped(j.ctx, "wait for a worker")
	}
	result := <-j.done // the worker stops the call
	return result.response, result.err
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // its bytes were read, or aren't wanted
	}
}

// find is the program of a name, what was deployed, and the port that it listens on, if it does.
func (h *Host) find(name string) (p *program, spec Program, port int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p = h.programs[name]
	if p == nil {
		return nil, Program{}, 0
	}
	return p, p.current.spec, p.current.port()
}

// enqueue has j wait, for which another one may have to go.
func (h *Host) enqueue(j *job) (refused *job, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return nil, errStopping()
	}
	if refused = h.queue.push(j); refused != nil {
		refused.program.counts.fail("queue")
	}
	if refused != j {
		h.makeRoom(j)
		h.changed.Signal()
	}
	return refused, nil
}

func (h *Host) countError(p *program, limit string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.counts.fail(limit)
}

// retryAfter is what clients are told when the queue is full.
const retryAfter = time.Second

// overloaded is the answer to a request that found no room.
func overloaded(r *http.Request) *http.Response {
	text := "This edge has more requests for programs than it can answer. Try again in a second.\n"
	response := newResponse(r, http.StatusServiceUnavailable, []byte(text))
	response.Header.Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second))) // RFC 9110 §10.2.3
	response.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response.Header.Set("Cache-Control", "no-store")
	return response
}

// work does one job after another until ctx is done.
func (h *Host) work(ctx context.Context) {
	for {
		j, i, dying := h.next(ctx)
		if j == nil {
			return
		}
		h.bury(dying)
		h.do(ctx, j, i)
	}
}

// next waits for a job and takes an instance for it. There is none if the program was removed.
func (h *Host) next(ctx context.Context) (j *job, i *instance, dying []*instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ctx.Err() == nil {
		if j = h.queue.pop(h.can); j == nil {
			h.changed.Wait()
			continue
		}
		j.woken = false
		if j.instance != nil {
			return j, j.instance, nil
		}
		if v := j.program.current; v != nil {
			i, dying = h.take(v, j.connection)
			j.instance = i
			v.use++
		}
		return j, i, dying
	}
	return nil, nil, nil
}

// do answers j and makes i ready for the next one, which j's caller doesn't wait for.
func (h *Host) do(ctx context.Context, j *job, i *instance) {
	if i == nil {
		j.way.tell(result{err: errUnknown(j.program.name)})
		h.settle(j, 0)
		return
	}
	runtime.LockOSThread() // whose time is taken
	defer runtime.UnlockOSThread()
	spent := h.spent()
	cold := i.machine == nil
	if cold || i.stale {
		if err := h.begin(i); err != nil {
			o := outcome{limit: "start"}
			o.err = &fault.Error{Party: fault.Edge, Op: "start program", Status: http.StatusServiceUnavailable, Retry: true, Err: err}
			h.answered(j, i, o)
			h.conclude(j, i, o, 0, 0)
			return
		}
	}
	if !j.began {
		j.cold = cold
	}
	o, parked := h.serve(ctx, j, i, spent)
	if parked {
		return
	}
	text := h.hear(j, i)
	if o.err != nil {
		h.options.Log.Warn("a program failed to answer", "program", j.program.name, "tenant", j.tenant, "limit", o.limit, "error", o.err, "said", text)
	}
	h.answered(j, i, o)
	o.keep = o.keep && i.rest(ctx)
	h.hear(j, i) // what a server logs behind its answer
	pages, err := i.refresh()
	if err != nil {
		h.options.Log.Error("an instance can't be reset; it is let go", "program", j.program.name, "error", err)
		o.keep = false
	}
	h.conclude(j, i, o, pages, spent())
}

// hear takes what j's program has written to standard error, and says it.
func (h *Host) hear(j *job, i *instance) string {
	text := i.version.spec.hush(i.errors.String())
	i.errors.Reset()
	if text != "" && h.options.Said != nil {
		h.options.Said(j.program.name, text)
	}
	return text
}

// begin starts i, or has it forget the connection that it was of.
func (h *Host) begin(i *instance) (err error) {
	if i.machine == nil {
		_, err = h.start(i)
	} else {
		_, err = i.machine.Reset()
	}
	i.stale = false
	return err
}

// start makes i's machine, and returns the CPU time that took.
func (h *Host) start(i *instance) (took time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := cputime.Thread()
	l := i.version.spec.Limits
	i.machine, err = i.version.snapshot.Start(machine(backend.Kind(i.version.snapshot.Kind())), linux.Options{
		Stdout: &i.out, Stderr: &i.errors, Yield: true, Heard: true, Boundary: i.version.port() == 0,
		Limits: linux.Limits{CPU: l.CPU * i.version.pace(), Files: file.Limits{Output: l.Output, Stdin: heldMax}},
	})
	return cputime.Thread() - before, err
}

// refresh makes i ready for the next call, and returns how many pages that took. Who fails is as good as new with isolation by request, and let go else.
func (i *instance) refresh() (pages int, err error) {
	if i.remembers() {
		return 0, i.machine.Machine().CollectDirty()
	}
	return i.machine.Reset()
}

// answered counts what j's call did, and tells its caller.
func (h *Host) answered(j *job, i *instance, o outcome) {
	h.mu.Lock()
	c := &j.program.counts
	c.calls++
	c.cpu += o.cpu
	if o.limit != "" {
		c.fail(o.limit)
	}
	if j.cold {
		c.coldStarts++
	}
	if o.err == nil && !j.cold {
		h.note(i.version, o.cpu)
	}
	i.version.settling++
	h.mu.Unlock()
	j.way.tell(o.result)
}

// conclude gives i, which was refreshed, and the worker's time back.
func (h *Host) conclude(j *job, i *instance, o outcome, pages int, cost time.Duration) {
	keep, dirty := o.keep, int64(0)
	if i.machine != nil && i.remembers() {
		dirty = i.machine.Dirty()
	} else {
		written := int64(pages) << 12
		i.hot = max(i.hot, written)
		dirty = i.hot
		keep = written <= hotMax && o.limit != "machine" && i.machine != nil
	}
	h.mu.Lock()
	if pages > 0 {
		c := &j.program.counts
		c.resets++
		c.dirty += uint64(pages)
	}
	i.version.settling--
	h.queue.settle(j, cost)
	dying := h.giveBack(i, keep, dirty)
	h.changed.Broadcast()
	h.mu.Unlock()
	h.bury(dying)
}

func (h *Host) settle(j *job, cost time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue.settle(j, cost)
	h.changed.Broadcast()
}

// passed is the fault of a program that passed a limit.
func passed(limit string) error {
	status := http.StatusBadGateway
	if limit == "cpu" || limit == "wall" {
		status = http.StatusGatewayTimeout // RFC 9110 §15.6.5
	}
	return &fault.Error{Party: fault.Origin, Op: "run program", Status: status, Err: &LimitError{limit}}
}

// LimitError says that a program passed a limit of its own.
type LimitError struct{ Limit string } // as in Limits, or "memory"

func (e *LimitError) Error() string {
	return fmt.Sprintf("the program passed its limit %q; give it more, or have it do less", e.Limit)
}

func broken(err error) error {
	return &fault.Error{Party: fault.Origin, Op: "run program", Status: http.StatusBadGateway, Err: fmt.Errorf("the program gave no response: %w", err)}
}

func errUnknown(name string) error {
	return &fault.Error{Party: fault.Config, Op: "find program", Status: http.StatusServiceUnavailable, Err: fmt.Errorf("no program %q is deployed; deploy it", name)}
}

func errStopping() error {
	return &fault.Error{Party: fault.Edge, Op: "run program", Status: http.StatusServiceUnavailable, Retry: true, Err: errors.New("the host stops")}
}

// stopped is the fault of a request whose context is done: the client left, or whoever asked had a time limit of its own.
func stopped(ctx context.Context, op string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &fault.Error{Party: fault.Edge, Op: op, Status: http.StatusGatewayTimeout, Err: ctx.Err()}
	}
	return &fault.Error{Party: fault.Client, Op: op, Status: fault.StatusClientClosedRequest, Err: ctx.Err()}
}

// saidMax is what is kept of what a program writes to standard error in a call.
const saidMax = 4 << 10

// said keeps the beginning of what is written to it, up to saidMax: what went wrong first says most.
type said struct{ b strings.Builder }

func (s *said) Write(p []byte) (int, error) {
	s.b.Write(p[:min(len(p), saidMax-s.b.Len())])
	return len(p), nil
}

func (s *said) String() string { return s.b.String() }

// Reset forgets it.
func (s *said) Reset() { s.b.Reset() }
