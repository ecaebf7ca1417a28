package origin

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// upload is the body of a client's request, kept whole for another attempt as long as nobody has read of it. A nil *upload is
// that of a request without body.
type upload struct {
	body io.ReadCloser

	mu      sync.Mutex // protects what follows
	view    int        // the attempt that may read
	held    bool       // that attempt's transport will close it
	touched bool       // some of it is gone
	ended   bool       // there will be no further attempt
	closed  bool
	err     error // of reading it: the client's, not the origin's
}

func newUpload(body io.ReadCloser) *upload {
	if body == nil || body == http.NoBody {
		return nil
	}
	return &upload{body: body}
}

// uploadView is an upload as one attempt sees it. Its timer runs while the transport has bytes that the origin doesn't take.
type uploadView struct {
	*upload
	view  int
	timer *time.Timer
	limit time.Duration
}

var errDetached = errors.New("this attempt is over")

// viewFor returns what an attempt's transport reads; stalled is called when the origin takes nothing for limit.
func (u *upload) viewFor(limit time.Duration, stalled func()) *uploadView {
	u.mu.Lock()
	u.held = true
	v := &uploadView{upload: u, view: u.view, limit: limit}
	u.mu.Unlock()
	v.timer = time.AfterFunc(time.Hour, stalled)
	v.timer.Stop()
	return v
}

// Read implements io.Reader.
func (v *uploadView) Read(p []byte) (int, error) {
	v.mu.Lock()
	if v.view != v.upload.view || v.closed {
		v.mu.Unlock()
		return 0, errDetached
	}
	v.touched = true
	v.mu.Unlock()
	v.timer.Stop() // the client may take its time; edge watches it
	n, err := v.body.Read(p)
	if err != nil && err != io.EOF {
		v.mu.Lock()
		v.err = err
		v.mu.Unlock()
	} else if v.limit > 0 {
		v.timer.Reset(v.limit)
	}
	return n, err
}

// Close implements io.Closer. A body that another attempt may need is kept.
func (v *uploadView) Close() error {
	v.mu.Lock()
	if v.view != v.upload.view {
		v.mu.Unlock()
		return nil
	}
	v.held = false
	return v.closeIfDone()
}

// rewind takes the body back from its attempt for another one, if it's whole.
func (u *upload) rewind() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.touched {
		return false
	}
	u.view++
	u.held = false
	return true
}

// end says that there is no further attempt.
func (u *upload) end() {
	if u == nil {
		return
	}
	u.mu.Lock()
	u.ended = true
	_ = u.closeIfDone() // of a body that was only read from
}

// closeIfDone unlocks mu, and closes the body if nobody will need it.
func (u *upload) closeIfDone() error {
	done := !u.held && !u.closed && (u.touched || u.ended)
	u.closed = u.closed || done
	u.mu.Unlock()
	if !done {
		return nil
	}
	return u.body.Close()
}

// readError returns why the client's body couldn't be read, or nil.
func (u *upload) readError() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// download is the body of an origin's response. Its attempt ends at the first error, io.EOF included, or when it's closed.
type download struct {
	attempt *attempt
	body    io.ReadCloser
}

// Read implements io.Reader. The time in which nobody reads isn't the origin's: the clock only runs while it is waited for.
func (d *download) Read(p []byte) (int, error) {
	a := d.attempt
	limit := a.pool.settings.fetch.BodyTimeout
	if limit > 0 {
		a.clock(limit)
	}
	n, err := d.body.Read(p)
	if limit > 0 {
		a.clock(0)
	}
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		err = a.bodyError(err)
	}
	a.finish()
	return n, err
}

// Close implements io.Closer.
func (d *download) Close() error {
	err := d.body.Close()
	d.attempt.finish()
	return err
}

// tunnel is the body of a 101 response: both directions of the connection that is left. It has no clock; whoever moves the
// bytes knows which silence is too long.
type tunnel struct {
	attempt *attempt
	conn    io.ReadWriteCloser
}

var _ io.ReadWriteCloser = (*tunnel)(nil)

// Read implements io.Reader.
func (t *tunnel) Read(p []byte) (int, error) { return t.conn.Read(p) }

// Write implements io.Writer.
func (t *tunnel) Write(p []byte) (int, error) { return t.conn.Write(p) }

// CloseWrite says to the origin that nothing more comes, where the connection can say so.
func (t *tunnel) CloseWrite() error {
	if c, ok := t.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close implements io.Closer.
func (t *tunnel) Close() error {
	err := t.conn.Close()
	t.attempt.finish()
	return err
}
