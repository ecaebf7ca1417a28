package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// appliesMax bounds how many bodies of applyMax are read at once.
const appliesMax = 4

func (c *call) path(name string) string { return c.r.PathValue(name) }

func (c *call) text(name string) string {
	if values := c.values[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (c *call) truth(name string) bool { return c.text(name) == "true" }

func (c *call) number(name string) int {
	n, _ := strconv.Atoi(c.text(name)) // checkQuery has
	return n
}

func (c *call) moment(name string) time.Time {
	at, _ := time.Parse(time.RFC3339, c.text(name)) // checkQuery has
	return at
}

// checkQuery refuses what the route doesn't know, and values that aren't of the parameter's kind.
func checkQuery(_ context.Context, c *call) *Problem {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return newProblem(http.StatusBadRequest, "The query can't be read: "+err.Error()+".", "Encode it as in https://url.spec.whatwg.org/#urlencoded-serializing.")
	}
	for name, of := range values {
		i := slices.IndexFunc(c.query, func(p param) bool { return p.name == name })
		if i < 0 {
			return newProblem(http.StatusBadRequest, fmt.Sprintf("%s has no parameter %q.", c.id, name), known("parameters", c.query))
		}
		p := c.query[i]
		if len(of) > 1 && p.kind != list {
			return newProblem(http.StatusBadRequest, fmt.Sprintf("The parameter %s stands there %d times.", name, len(of)), "Write it once.")
		}
		switch _, err := strconv.ParseUint(of[0], 10, 31); {
		case p.kind == truth && of[0] != "true" && of[0] != "false":
			return newProblem(http.StatusBadRequest, fmt.Sprintf("%s is %q.", name, of[0]), "Write true or false.")
		case p.kind == number && err != nil:
			return newProblem(http.StatusBadRequest, fmt.Sprintf("%s is %q.", name, of[0]), "Write a whole number, not negative.")
		}
		if _, err := time.Parse(time.RFC3339, of[0]); p.kind == moment && err != nil {
			return newProblem(http.StatusBadRequest, fmt.Sprintf("%s is %q.", name, of[0]), "Write a time of RFC 3339, such as 2026-03-01T12:00:00Z.")
		}
	}
	c.values = values
	return nil
}

func known(what string, all []param) string {
	if len(all) == 0 {
		return "Leave the " + what + " out: there are none."
	}
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.name
	}
	return "The " + what + " are " + strings.Join(names, ", ") + "."
}

// checkType refuses a body that isn't declared as what it should be, which also keeps forms of foreign pages out.
func (c *call) checkType(want string) error {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != want {
		return newProblem(http.StatusUnsupportedMediaType, "The body is not declared as "+want+".", "Send it with Content-Type: "+want+".")
	}
	return nil
}

// body returns the body as it comes, with errors that say what is wrong with it.
func (c *call) body() io.Reader { return bodyReader{c} }

type bodyReader struct{ c *call }

func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.c.r.Body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.c.unreadable(err)
	}
	return n, err
}

// withBody reads the body into an I.
func withBody[I any](serve func(ctx context.Context, c *call, in I) (any, error)) func(context.Context, *call) (any, error) {
	return func(ctx context.Context, c *call) (any, error) {
		var in I
		if c.optional && c.r.ContentLength == 0 {
			return serve(ctx, c, in)
		}
		if err := c.checkType("application/json"); err != nil {
			return nil, err
		}
		d := json.NewDecoder(c.r.Body)
		d.DisallowUnknownFields()
		if err := errors.Join(d.Decode(&in), atEnd(d)); err != nil {
			return nil, c.unreadable(err)
		}
		return serve(ctx, c, in)
	}
}

// errMore is that something follows the object.
var errMore = errors.New("something follows the object")

func atEnd(d *json.Decoder) error {
	if _, err := d.Token(); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return err
	}
	return errMore
}

// unreadable says what is wrong with a body.
func (c *call) unreadable(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes.", large.Limit),
			"Send less at once: sites can be applied one after the other.")
	}
	text := "The body can't be read: " + jsonError(err) + "."
	return newProblem(http.StatusBadRequest, text, "Correct it: what "+c.id+" takes stands in GET "+Prefix+"/openapi.json.")
}

// jsonError says it without the package's name and with the words of the API.
func jsonError(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Sprintf("%s is of the wrong kind, %s", wrong.Field, wrong.Value)
	}
	switch text := strings.TrimPrefix(err.Error(), "json: "); {
	case errors.Is(err, io.EOF):
		return "it is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	case strings.HasPrefix(text, "unknown field"):
		first, _, _ := strings.Cut(text, "\n")
		return "it has an " + first
	default:
		first, _, _ := strings.Cut(text, "\n")
		return first
	}
}

// readApply reads the body of an apply.
func (c *call) readApply(ctx context.Context) (in ApplyRequest, err error) {
	if err := c.checkType("application/json"); err != nil {
		return in, err
	}
	select {
	case c.applies <- struct{}{}:
		defer func() { <-c.applies }()
	case <-ctx.Done():
		return in, ctx.Err()
	}
	if in, err = decodeApply(c.r.Body); err != nil {
		return in, c.unreadable(err)
	}
	return in, nil
}

// decodeApply decodes one document after the other, so that no more than one is there twice, as text and as value.
func decodeApply(r io.Reader) (in ApplyRequest, err error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := expect(d, json.Delim('{')); err != nil {
		return in, err
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return in, err
		}
		name, _ := token.(string) // the decoder lets nothing else be a key
		if seen[name] {
			return in, fmt.Errorf("%q stands there twice", name)
		}
		seen[name] = true
		switch name {
		case "documents":
			in.Documents, err = decodeDocuments(d)
		case "message":
			err = d.Decode(&in.Message)
		case "emergency":
			err = d.Decode(&in.Emergency)
		case "dry_run":
			err = d.Decode(&in.DryRun)
		case "wait":
			err = d.Decode(&in.Wait)
		default:
			err = fmt.Errorf("unknown field %q", name)
		}
		if err != nil {
			return in, err
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return in, err
	}
	return in, atEnd(d)
}

func decodeDocuments(d *json.Decoder) ([]Document, error) {
	token, err := d.Token()
	if err != nil || token == nil {
		return nil, err
	}
	if token != json.Delim('[') {
		return nil, errors.New("documents is no list")
	}
	all := []Document{}
	for d.More() {
		var one Document
		if err := d.Decode(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, expect(d, json.Delim(']'))
}

func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err == nil && token != want {
		err = fmt.Errorf("%v stands where %v should", token, want)
	}
	return err
}
