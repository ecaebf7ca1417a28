package edge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/edge/joint"
	"github.com/wherry/wherry/fault"
)

// upgrade takes requests that ask for another protocol (RFC 9110 §7.8), such as WebSocket (RFC 6455), past the cache: to the
// upstream, and if it switches, the two connections are joined until both sides have closed or nothing has moved either way for
// limits.idle_timeout.
func (e *Edge) upgrade(x *exchange) (goOn bool) {
	if x.upgrade == "" {
		return true
	}
	x.outcome.Verdict, x.outcome.Detail = cache.Pass, "upgrade"
	x.outcome.CacheStatus = e.member + "; fwd=bypass; detail=upgrade"
	began := time.Now()
	resp, err := e.fetchUpgrade(x)
	if err != nil {
		x.failure, x.outcome.Verdict = fault.Of(err), cache.Failed
		return false
	}
	defer resp.Body.Close()
	x.outcome.FetchStatus, x.outcome.FetchTime = resp.StatusCode, time.Since(began)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		x.note("the origin doesn't switch")
		x.pass(resp)
		return false
	}
	if err := x.join(resp); err != nil {
		x.failure, x.outcome.Verdict = fault.Of(err), cache.Failed
	}
	return false
}

func (e *Edge) fetchUpgrade(x *exchange) (*http.Response, error) {
	up := x.treatment.Upstream
	if up == nil {
		return nil, &fault.Error{Party: fault.Config, Op: x.step, Status: http.StatusBadGateway, Proxy: "proxy_configuration_error"}
	}
	out := x.r.Clone(x.r.Context())
	out.RequestURI = "" // http.RoundTripper wants none
	out.Body, out.ContentLength, out.Close = http.NoBody, 0, false
	out.Header["Connection"] = []string{"Upgrade"}
	out.Header["Upgrade"] = []string{x.upgrade}
	field.AddVia(out.Header, 1, 1, string(e.node)) // an upgrade is of HTTP/1.1
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // or net/http adds its own
	}
	return up.RoundTrip(out)
}

// pass sends on an answer that the cache has no part in.
func (x *exchange) pass(resp *http.Response) {
	h := x.w.Header()
	x.copyFields(h, resp)
	x.w.WriteHeader(resp.StatusCode)
	var to io.Writer = writerOnly{&x.w}
	if resp.ContentLength < 0 {
		to = flushing{&x.w} // somebody may be waiting for each piece
	}
	if _, err := io.Copy(to, resp.Body); err != nil {
		x.failure = fault.Of(err)
	}
}

// flushing is a response that is sent on as it is written.
type flushing struct{ w *response }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.w.FlushError()
	}
	return n, err
}

// copyFields copies the end-to-end fields of resp to h and adds those of this node.
func (x *exchange) copyFields(h http.Header, resp *http.Response) {
	field.EndHop(resp.Header)
	for name, values := range resp.Header {
		h[name] = values
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http guesses one
	}
	field.AddVia(h, resp.ProtoMajor, resp.ProtoMinor, string(x.edge.node))
	x.outcome.CacheStatus += fmt.Sprintf("; fwd-status=%d", resp.StatusCode)
	h["Cache-Status"] = append(h["Cache-Status"], x.outcome.CacheStatus)
}

// join switches the client's connection over and carries bytes until the tunnel ends.
func (x *exchange) join(resp *http.Response) error {
	protocol := strings.Join(resp.Header["Upgrade"], ", ")
	origin, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !hop.Offered(x.upgrade, protocol) {
		return &fault.Error{
			Party: fault.Origin, Op: x.step, Status: http.StatusBadGateway, Proxy: "http_upgrade_failed",
			Err: fmt.Errorf("origin switched to %q, asked for was %q", protocol, x.upgrade),
		}
	}
	client, buffered, err := x.w.control.Hijack()
	if err != nil {
		return fmt.Errorf("take over the connection: %w", err)
	}
	defer client.Close()
	_ = client.SetDeadline(time.Time{}) // those that net/http and the steps before have set
	h := http.Header{}
	x.copyFields(h, resp)
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{protocol}
	h[RequestIDField] = x.w.requestID
	if h.Get("Date") == "" {
		h["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	}
	_ = client.SetWriteDeadline(time.Now().Add(x.w.stall))
	if err := writeSwitch(client, h); err != nil {
		return fault.New(fault.Client, "send header", fault.StatusClientClosedRequest, err)
	}
	_ = client.SetWriteDeadline(time.Time{})
	x.w.status, x.w.firstByte = http.StatusSwitchingProtocols, time.Now()
	if x.trace.On() {
		x.note("switched to " + protocol)
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered()) // what the client sent right behind its request
	j := &joint.Joint{Client: client, FromClient: io.MultiReader(bytes.NewReader(early), client), Origin: origin, Bytes: &x.tunnel}
	why := j.Run(x.r.Context(), x.routes.snapshot.Limits.IdleTimeout)
	x.outcome.Detail = "upgrade ended: " + why
	return nil
}

func writeSwitch(w io.Writer, h http.Header) error {
	b := bufio.NewWriter(w)
	_, _ = b.WriteString("HTTP/1.1 101 Switching Protocols\r\n") // the error stays in b
	_ = h.Write(b)
	_, _ = b.WriteString("\r\n")
	return b.Flush()
}
