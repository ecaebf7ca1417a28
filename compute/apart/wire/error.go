package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/fault"
)

// failure is an error on its way.
type failure struct {
	Party  fault.Party `json:"party,omitempty"` // empty: no *fault.Error
	Op     string      `json:"op,omitempty"`
	Status int         `json:"status,omitempty"`
	Retry  bool        `json:"retry,omitempty"`
	Proxy  string      `json:"proxy,omitempty"`
	Notice string      `json:"notice,omitempty"`
	Limit  string      `json:"limit,omitempty"` // of a *compute.LimitError
	Is     string      `json:"is,omitempty"`    // a key of known
	Text   string      `json:"text"`            // of the cause
}

// known are the errors that are told by errors.Is.
var known = map[string]error{
	"canceled": context.Canceled, "deadline": context.DeadlineExceeded, "eof": io.ErrUnexpectedEOF,
}

// textMax bounds what an error says.
const textMax = 2 << 10

// AppendError appends err to b, for the body of a Fail.
func AppendError(b []byte, err error) []byte {
	var f failure
	cause := err
	var of *fault.Error
	if errors.As(err, &of) {
		f.Party, f.Op, f.Status, f.Retry, f.Proxy, f.Notice = of.Party, of.Op, of.Status, of.Retry, of.Proxy, Cut(of.Notice)
		cause = of.Err
	}
	var limit *compute.LimitError
	if errors.As(err, &limit) {
		f.Limit = limit.Limit
	}
	for name, is := range known {
		if errors.Is(err, is) {
			f.Is = name
		}
	}
	if cause != nil {
		f.Text = Cut(cause.Error())
	}
	text, _ := json.Marshal(f) // strings and numbers: it never fails
	return append(b, text...)
}

// Cut is text that fits into a frame, and is UTF-8.
func Cut(text string) string { return strings.ToValidUTF8(text[:min(len(text), textMax)], "\uFFFD") }

// ParseError reads what AppendError has written. What isn't that is an error, too, and returned as one.
func ParseError(b []byte) error {
	var f failure
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("an error that can't be read: %w", err)
	}
	var cause error
	switch is := known[f.Is]; {
	case f.Limit != "":
		cause = &compute.LimitError{Limit: f.Limit}
	case is != nil:
		cause = told{f.Text, is}
	case f.Text != "" || f.Party == "":
		cause = errors.New(f.Text)
	}
	if f.Party == "" {
		return cause
	}
	return &fault.Error{Party: f.Party, Op: f.Op, Status: f.Status, Retry: f.Retry, Proxy: f.Proxy, Notice: f.Notice, Err: cause}
}

// told is an error of the other side's that is one of known.
type told struct {
	text string
	is   error
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.is }
