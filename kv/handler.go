package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// TTLField says, in a request, after how long a key goes, and in a response, how long it will still be there: seconds, or a duration such as
// 90s or 12h. Cache-Control isn't used for it: in a request that is about responses (RFC 9111 §5.2.1), and caches between here and there may
// change it.
const TTLField = "Wherry-TTL"

// Handler is the door of programs: GET, HEAD, PUT, DELETE /KEY, POST /KEY?add=N, and GET /?prefix=P&after=K&limit=N for a list. The namespace
// is what the function says of a request's context; false: nobody may ask.
func (s *Store) Handler(namespace func(context.Context) (string, bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := namespace(r.Context())
		if !ok {
			answerError(w, &Error{
				http.StatusForbidden, "namespace", "Whoever asks has no namespace of the key-value store.", "Ask from a program that runs on an edge.", 0,
			})
			return
		}
		s.serve(w, r, name, strings.TrimPrefix(r.URL.Path, "/"))
	})
}

// Operator is the door of operators: GET / lists namespaces, and /NAMESPACE?key=KEY is what /KEY is to a program there. Who asks has to have been found out.
func (s *Store) Operator() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name != "" {
			s.serve(w, r, name, r.URL.Query().Get("key"))
			return
		}
		list, err := s.Namespaces()
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			err = errMethod(w, "GET, HEAD")
		case err == nil:
			answerJSON(w, list)
		}
		if err != nil {
			answerError(w, err)
		}
	})
}

func errMethod(w http.ResponseWriter, allow string) *Error {
	w.Header().Set("Allow", allow) // RFC 9110 §15.5.6
	return &Error{http.StatusMethodNotAllowed, "method", "This can't be done there.", "Use one of: " + allow + ".", 0}
}

func (s *Store) serve(w http.ResponseWriter, r *http.Request, namespace, key string) {
	w.Header().Set("Cache-Control", "no-store")
	var err error
	switch read := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case key == "" && read:
		err = s.serveList(w, r, namespace)
	case key == "":
		err = errMethod(w, "GET, HEAD")
	case read:
		err = s.serveGet(w, r, namespace, key)
	case r.Method == http.MethodPut:
		err = s.servePut(w, r, namespace, key)
	case r.Method == http.MethodDelete:
		err = s.serveDelete(w, r, namespace, key)
	case r.Method == http.MethodPost:
		err = s.serveAdd(w, r, namespace, key)
	default:
		err = errMethod(w, "GET, HEAD, PUT, DELETE, POST")
	}
	if err != nil {
		answerError(w, err)
	}
}

func (s *Store) serveGet(w http.ResponseWriter, r *http.Request, namespace, key string) error {
	v, ok, err := s.Get(namespace, key)
	if err != nil {
		return err
	}
	if !ok {
		return &Error{http.StatusNotFound, "missing", "There is nothing under this key on this node.", "Put something there, or list the keys that there are with GET /?prefix=.", 0}
	}
	h := w.Header()
	h.Set("ETag", strconv.Quote(v.Tag))
	h.Set("Content-Type", "application/octet-stream")
	if !v.Expires.IsZero() {
		h.Set(TTLField, (max(0, v.Expires.Sub(s.o.Now())) / time.Second * time.Second).String())
	}
	if tags, any := entityTags(r.Header.Values("If-None-Match")); any || len(tags) > 0 && (&Condition{Tags: tags}).holds(&Record{Value: v.Bytes}) {
		w.WriteHeader(http.StatusNotModified) // RFC 9110 §13.1.2
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(v.Bytes)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(v.Bytes) // an error means that who asked left
	}
	return nil
}

func (s *Store) servePut(w http.ResponseWriter, r *http.Request, namespace, key string) error {
	ttl, c, err := readWrite(r)
	if err != nil {
		return err
	}
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ValueMax))
	if errors.As(err, new(*http.MaxBytesError)) {
		return s.count(errTooLarge(ValueMax + 1))
	}
	if err != nil {
		return &Error{http.StatusBadRequest, "request", "The value didn't come whole.", "Send it again.", 0}
	}
	v, created, err := s.Put(namespace, key, value, ttl, c)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", strconv.Quote(v.Tag))
	if created {
		w.WriteHeader(http.StatusCreated)
	} else {
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

func (s *Store) serveDelete(w http.ResponseWriter, r *http.Request, namespace, key string) error {
	_, c, err := readWrite(r)
	if err == nil {
		_, err = s.Delete(namespace, key, c)
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (s *Store) serveAdd(w http.ResponseWriter, r *http.Request, namespace, key string) error {
	ttl, c, err := readWrite(r)
	if err != nil {
		return err
	}
	delta, bad := strconv.ParseInt(r.URL.Query().Get("add"), 10, 64)
	switch {
	case bad != nil:
		return errRequest("?add=N names no whole number of 64 bits", "POST /KEY?add=1 adds one; PUT sets a value")
	case c.Absent || c.Any || len(c.Tags) > 0:
		return errRequest("an add has a condition", "leave If-Match and If-None-Match away: adds of all edges count")
	}
	sum, err := s.Add(namespace, key, delta, ttl)
	if err == nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, sum) // an error means that who asked left
	}
	return err
}

func errRequest(what, action string) *Error {
	return &Error{http.StatusBadRequest, "request", "The request can't be understood: " + what + ".", strings.ToUpper(action[:1]) + action[1:] + ".", 0}
}

// readWrite reads the fields of a write.
func readWrite(r *http.Request) (ttl time.Duration, c Condition, err error) {
	if text := r.Header.Get(TTLField); text != "" {
		if ttl, err = parseTTL(text); err != nil {
			return 0, c, errRequest(TTLField+" is "+strconv.Quote(text), "write seconds, or a duration such as 90s or 12h, above 0 and up to 87600h")
		}
	}
	tags, any := entityTags(r.Header.Values("If-Match"))
	none, absent := entityTags(r.Header.Values("If-None-Match"))
	switch matches := r.Header.Values("If-Match"); {
	case len(none) > 0, len(r.Header.Values("If-None-Match")) > 0 && !absent:
		return 0, c, errRequest("If-None-Match of a write is something else than *", "write If-None-Match: * to put only what isn't there, or If-Match with an ETag")
	case absent && len(matches) > 0:
		return 0, c, errRequest("it has both If-Match and If-None-Match", "leave one of them away")
	case len(matches) > 0 && !any && len(tags) == 0:
		return 0, c, errRequest("If-Match has no ETag", "write the ETag of the value as it was answered, in quotes")
	}
	return ttl, Condition{Absent: absent, Any: any, Tags: tags}, nil
}

func parseTTL(text string) (time.Duration, error) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		text = strconv.FormatUint(n, 10) + "s"
	}
	ttl, err := time.ParseDuration(text)
	if err == nil && (ttl < time.Millisecond || ttl > ttlMax) {
		err = errors.New("out of range")
	}
	return ttl, err
}

// entityTags reads lists of entity tags; any says that it is *. Weak ones and what is none are no tags of ours.
func entityTags(values []string) (tags []string, any bool) {
	for _, value := range values {
		for tag := range strings.SplitSeq(value, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" {
				any = true
			} else if inner, ok := strings.CutPrefix(tag, `"`); ok && strings.HasSuffix(inner, `"`) {
				tags = append(tags, strings.TrimSuffix(inner, `"`))
			}
		}
	}
	return tags, any
}

// ListedKey is a key in the answer to a list.
type ListedKey struct {
	Key     string     `json:"key,omitempty"` // as text, if it is UTF-8
	Path    string     `json:"path"`          // percent-encoded, for URLs
	Bytes   int        `json:"bytes"`         // of the value
	ETag    string     `json:"etag"`
	Expires *time.Time `json:"expires,omitempty"`
}

// Listing is the answer to a list.
type Listing struct {
	Keys []ListedKey `json:"keys"`
	Next string      `json:"next,omitempty"` // the query of the next page, if there is one
}

func (s *Store) serveList(w http.ResponseWriter, r *http.Request, namespace string) error {
	q := r.URL.Query()
	limit := listDefault
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > listMax {
			return errRequest("limit is "+strconv.Quote(text), fmt.Sprintf("write a number from 1 to %d", listMax))
		}
		limit = n
	}
	items, more, err := s.List(namespace, q.Get("prefix"), q.Get("after"), limit)
	if err != nil {
		return err
	}
	out := Listing{Keys: []ListedKey{}}
	for _, i := range items {
		k := ListedKey{Path: url.PathEscape(i.Key), Bytes: i.Size, ETag: strconv.Quote(i.Tag)}
		if utf8.ValidString(i.Key) {
			k.Key = i.Key
		}
		if !i.Expires.IsZero() {
			at := i.Expires.UTC()
			k.Expires = &at
		}
		out.Keys = append(out.Keys, k)
	}
	if more {
		out.Next = url.Values{"prefix": {q.Get("prefix")}, "after": {items[len(items)-1].Key}, "limit": {strconv.Itoa(limit)}}.Encode()
	}
	answerJSON(w, out)
	return nil
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // an error means that who asked left
}

// answerError answers a problem (RFC 9457).
func answerError(w http.ResponseWriter, err error) {
	e := &Error{Status: http.StatusInternalServerError, Detail: err.Error(), Action: "Look at the log of the node."}
	errors.As(err, &e)
	h := w.Header()
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // an error means that who asked left
		"title": http.StatusText(e.Status), "status": e.Status, "detail": e.Detail, "action": e.Action,
	})
}
