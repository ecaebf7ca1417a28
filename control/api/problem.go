package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

// Problem is an error as the API answers it (RFC 9457 §3), and as Client returns it. Its type is about:blank, so that the title is the
// status' own phrase (§4.2.1). A Service may return one where it wants to choose each word.
type Problem struct {
	Title  string      `json:"title"`
	Status int         `json:"status"` // of HTTP; 0 in an error of Client: nobody has answered
	Detail string      `json:"detail"` // what is wrong; several lines if there is a list or a difference
	Action string      `json:"action"` // what to do next
	Party  fault.Party `json:"party,omitempty"`
	Errors []Mistake   `json:"errors,omitempty"` // of a document, each with its place

	err error // of Client: why nobody has answered
}

// Mistake is what is wrong at one place of a document.
type Mistake struct {
	File   string `json:"file"`
	Line   int    `json:"line"`   // from 1
	Column int    `json:"column"` // from 1, in characters
	Path   string `json:"path,omitempty"`
	Detail string `json:"detail"`
	Action string `json:"action,omitempty"` // what to write instead
}

// mistakesOf are those that an error says of a configuration.
func mistakesOf(err error) (all []Mistake) {
	var problems config.Problems
	errors.As(err, &problems)
	for _, p := range problems {
		all = append(all, Mistake{File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Detail: p.What, Action: p.Instead})
	}
	return all
}

var _ error = (*Problem)(nil)

// Error returns all of it for a person.
func (p *Problem) Error() string {
	if strings.Contains(p.Detail, "\n") {
		return p.Title + ":\n" + strings.TrimRight(p.Detail, "\n") + "\n" + p.Action
	}
	return strings.TrimSpace(p.Title + ": " + p.Detail + " " + p.Action)
}

// Unwrap returns why nobody has answered.
func (p *Problem) Unwrap() error { return p.err }

func newProblem(status int, detail, action string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail, Action: action}
}

// problemOf says what an error of a Service means to who asked. Our errors say what is wrong, then after a semicolon what to do.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		out := *p
		if out.Status < 400 || out.Status > 599 {
			out.Status = http.StatusInternalServerError
		}
		if out.Title == "" {
			out.Title = http.StatusText(out.Status)
		}
		return &out
	}
	f := fault.Of(err)
	status, text := f.Status, err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded) && (status == 0 || status == http.StatusInternalServerError):
		status = http.StatusGatewayTimeout
	case status < 400 || status > 599 || status == fault.StatusClientClosedRequest:
		status = http.StatusInternalServerError
	}
	if f.Err != nil && (f.Party == fault.Client || f.Party == fault.Config) {
		text = f.Err.Error() // whose fault it is and in what the title and the action say
	}
	detail, action := text, actions[status]
	if before, after, ok := strings.Cut(text, "; "); ok && !strings.Contains(text, "\n") {
		detail, action = before, capital(sentence(after))
	}
	if action == "" {
		action = "Correct the request and send it again."
		if status >= 500 {
			action = "Look at the log of the process that answers; the request can be sent again."
		}
	}
	p = newProblem(status, sentence(detail), action)
	p.Party, p.Errors = f.Party, mistakesOf(err)
	return p
}

// actions are for errors that don't say what to do.
var actions = map[int]string{
	http.StatusUnauthorized:       "Send `Authorization: Bearer TOKEN` with a token of this network (wherry token create).",
	http.StatusForbidden:          "Use a token that may do this, or ask who may create one (wherry token create).",
	http.StatusNotFound:           "Look at the names that there are: wherry site list, wherry rollout status, wherry node list.",
	http.StatusConflict:           "Look at what holds now (wherry site show, wherry diff), put your change on top of it, and apply again.",
	http.StatusTooManyRequests:    "Wait a moment, then send it again.",
	http.StatusNotImplemented:     "Ask a process that has control.",
	http.StatusServiceUnavailable: "Look at wherry control status; the request can be sent again.",
	http.StatusGatewayTimeout:     "What was asked for may still happen: look at wherry status before you send it again.",
}

func sentence(text string) string {
	if text == "" || strings.Contains(text, "\n") || strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// capital begins with a capital letter, unless it begins with a command to type.
func capital(text string) string {
	if text == "" || strings.HasPrefix(text, "wherry ") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
