package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/feed"
)

// openImage opens the image of a program from a byte on, at this node's control or at another's.
func (n *Node) openImage(ctx context.Context, h feed.Hash, from int64) (r io.ReadCloser, at int64, err error) {
	if st := n.station.Load(); st != nil {
		path, err := st.control.Program(ctx, h)
		if err != nil {
			return nil, 0, err
		}
		f, err := os.Open(path)
		return f, 0, err
	}
	errs := []error{errors.New("no control node has it that can be reached")}
	for _, c := range n.controls() {
		r, at, err := n.askImage(ctx, "https://"+c+control.NodePrefix+"programs/"+h.String(), h, from)
		if err == nil {
			return r, at, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", c, err))
	}
	return nil, 0, errors.Join(errs...)
}

// askImage asks one control node for an image, or for the rest of it (RFC 9110 §14.2).
func (n *Node) askImage(ctx context.Context, url string, h feed.Hash, from int64) (r io.ReadCloser, at int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		req.Header.Set("If-Range", strconv.Quote(h.String()))
	}
	resp, err := n.toControl.RoundTrip(req)
	if err != nil {
		return nil, 0, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp.Body, 0, nil
	case http.StatusPartialContent:
		return resp.Body, from, nil
	case http.StatusRequestedRangeNotSatisfiable: // all of it is here
		return http.NoBody, from, resp.Body.Close()
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, errorMax))
	return nil, 0, errors.Join(&statusError{resp.StatusCode, strings.TrimSpace(string(text))}, resp.Body.Close())
}
