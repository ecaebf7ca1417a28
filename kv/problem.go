package kv

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"
)

// Error is why the store doesn't do something, and what to do next.
type Error struct {
	Status         int    // of HTTP
	Reason         string // a word for metrics
	Detail, Action string
	RetryAfter     time.Duration // 0: trying again doesn't help by itself
}

func (e *Error) Error() string { return e.Detail + " " + e.Action }

var (
	errNotReady = &Error{
		http.StatusServiceUnavailable, "not_ready", "This node doesn't have the values yet: it has just joined the network, and gets them from control.",
		"Try again in a second.", time.Second,
	}
	errClosed = &Error{
		http.StatusServiceUnavailable, "closed", "This process is ending, and takes no writes any more.", "Try again in a second; the next process takes them.", time.Second,
	}
	errKey = &Error{
		http.StatusBadRequest, "key", fmt.Sprintf("A key has 1 to %d bytes, and no NUL.", KeyMax), "Choose another key; what isn't a letter, digit, or one of -._~/ is percent-encoded in the URL.", 0,
	}
	errName = &Error{
		http.StatusBadRequest, "key", fmt.Sprintf("A namespace has a name of 1 to %d bytes, without NUL.", NamespaceMax), "Name another one.", 0,
	}
	errNumber = &Error{
		http.StatusConflict, "counter", "The value isn't a decimal number of 64 bits, so nothing can be added to it.", "Put a number there first, or use another key.", 0,
	}
	errOverflow = &Error{
		http.StatusConflict, "counter", "The sum doesn't fit into a signed number of 64 bits.", "Put another number there first.", 0,
	}
)

func errTooLarge(n int) *Error {
	return &Error{
		http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("The value has %d bytes or more, and a value may have %d.", n, ValueMax),
		"Split it over several keys, or keep it elsewhere and its name here.", 0,
	}
}

func errRate(l Limits) *Error {
	return &Error{
		http.StatusTooManyRequests, "rate", fmt.Sprintf("A namespace may be written %g times a second on a node, %d times at once.", l.Rate, l.Burst),
		"Wait a moment; write less often, or several things under one key.", time.Second,
	}
}

func errOutbox(n int64) *Error {
	return &Error{
		http.StatusServiceUnavailable, "outbox", fmt.Sprintf("%d KiB of writes of this node wait for control, which can't be reached or has too much to do.", n>>10),
		"Try again later; reading works, and what was acknowledged is kept.", 2 * time.Second,
	}
}

func errShare(n int64, what string) *Error {
	return &Error{
		http.StatusServiceUnavailable, "share",
		fmt.Sprintf("%d KiB of writes of this node wait for control, and more would be more than its share of what is left of the quota of %s: other nodes may be writing as much.", n>>10, what),
		"Try again in a second. While control can't be reached, reading, deleting, and writing again what waits works.", time.Second,
	}
}

func errBytes(has, may int64) *Error {
	return &Error{
		http.StatusInsufficientStorage, "quota", fmt.Sprintf("The namespace has %d bytes of keys and values, may have %d, and this would be more.", has, may),
		"Delete keys, or write with a Wherry-TTL so that they go by themselves.", 0,
	}
}

func errKeys(may int) *Error {
	return &Error{
		http.StatusInsufficientStorage, "quota", fmt.Sprintf("The namespace has the %d keys that it may have.", may),
		"Delete keys, or write with a Wherry-TTL so that they go by themselves.", 0,
	}
}

func errNamespaces(may int) *Error {
	return &Error{
		http.StatusInsufficientStorage, "quota", fmt.Sprintf("There are %d namespaces, as many as there may be.", may), "Empty those that nobody uses: wherry kv list shows them.", 0,
	}
}

func errNode(may int64) *Error {
	return &Error{
		http.StatusInsufficientStorage, "quota", fmt.Sprintf("All namespaces together take nearly the %d MiB of memory that they may.", may>>20),
		"Delete keys; wherry kv list shows the operator who has how many.", 0,
	}
}

func errDisk(err error) *Error {
	return &Error{
		http.StatusServiceUnavailable, "disk", "The write can't be kept on this node's disk: " + err.Error() + ".", "Look at the disk of the node; it is tried again each second.", time.Second,
	}
}

func errCondition(c Condition, r *Record) *Error {
	has := "there is nothing under the key"
	if r != nil {
		has = "what is there has the ETag \"" + tagOf(r.Value) + "\""
	}
	what := "If-Match"
	if c.Absent {
		what = "If-None-Match"
	}
	return &Error{
		http.StatusPreconditionFailed, "condition", fmt.Sprintf("%s doesn't hold on this node: %s.", what, has), "Read the value again, and decide anew.", 0,
	}
}

func checkNames(namespace, key string) error {
	switch {
	case !goodNamespace(namespace):
		return errName
	case !goodKey(key):
		return errKey
	}
	return nil
}

// tagOf names a content.
func tagOf(value []byte) string {
	sum := sha256.Sum256(value)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
