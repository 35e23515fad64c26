// Package apperr provides the error that the services return to clients: a kind, a machine code and
// a message that is safe to show. Start reading at Error; Kind.Status is the one table from kinds
// to HTTP statuses.
//
// An error is made once, where its meaning is known, and passed unchanged to the error handler of
// package httpx. Any other error is Internal: its cause is logged, and the client sees only
// "Internal server error".
package apperr

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Kind classifies an Error; it determines the HTTP status and nothing else.
type Kind uint8

// The kinds, in the order of their statuses.
const (
	Internal Kind = iota
	Invalid
	Unauthenticated
	Forbidden
	NotFound
	MethodNotAllowed
	RequestTimeout
	Conflict
	PreconditionFailed
	TooLarge
	URITooLong
	RateLimited
	HeadersTooLarge
	Unavailable
)

// Status returns the HTTP status of the kind (RFC 9110, section 15). It is the only place where a
// kind becomes a status.
func (k Kind) Status() int {
	switch k {
	case Invalid:
		return http.StatusBadRequest
	case Unauthenticated:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case RequestTimeout:
		return http.StatusRequestTimeout
	case Conflict:
		return http.StatusConflict
	case PreconditionFailed:
		return http.StatusPreconditionFailed
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case URITooLong:
		return http.StatusRequestURITooLong
	case RateLimited:
		return http.StatusTooManyRequests
	case HeadersTooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// Error is a failure that a client may see. Message and Data must hold no secret, no SQL and no
// address of ours.
type Error struct {
	Kind    Kind
	Code    string // machine code, for example VAULT_KEY_NOT_FOUND
	Message string // safe text for the client
	// Data is sent as "data"; validation errors send Violations there instead.
	Data       any
	Violations []Violation
	// CodeInError puts the code into the envelope's "error" as well, where the official clients
	// expect it for two codes.
	CodeInError bool
	RetryAfter  time.Duration // sent as Retry-After, whole seconds, rounded up, when above zero
	// of a rate that is used up: sent as RateLimit-Limit, with nothing remaining until RetryAfter,
	// when above zero
	Limit int
	Allow string // sent as Allow with MethodNotAllowed
	// Page is an HTML page that is sent in place of the envelope, unless the client asks for JSON.
	Page  string
	cause error
}

// Violation is one broken rule of a request: the place (a JSON pointer such as "/alias", or "/page"
// for a query parameter) and the rule.
type Violation struct {
	InstancePath string `json:"instancePath"`
	Message      string `json:"message"`
}

// New makes an error without a cause.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Wrap makes an error that keeps cause for the log; the client never sees the cause.
func Wrap(cause error, kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message, cause: cause}
}

// Error returns the code, the message and the cause, for logs.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.cause)
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the cause, so that errors.Is sees through an Error.
func (e *Error) Unwrap() error { return e.cause }

// WithData returns a copy that carries data for the client.
func (e *Error) WithData(data any) *Error {
	c := *e
	c.Data = data
	return &c
}

// WithRetryAfter returns a copy with the time after which the client may retry.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// WithLimit returns a copy with the rate that the client has used up.
func (e *Error) WithLimit(count int) *Error {
	c := *e
	c.Limit = count
	return &c
}

// WithPage returns a copy that is sent as an HTML page, for addresses that people open in a
// browser.
func (e *Error) WithPage(html string) *Error {
	c := *e
	c.Page = html
	return &c
}

// WithCodeInError returns a copy whose code also stands in the envelope's "error".
func (e *Error) WithCodeInError() *Error {
	c := *e
	c.CodeInError = true
	return &c
}

// Is reports whether err is an Error with the given code.
func Is(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// From returns the Error in err. If there is none, it returns an Internal error with err as its
// cause.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Wrap(err, Internal, "INTERNAL_ERROR", "Internal server error")
}
