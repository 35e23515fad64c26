// Package api provides the common JSON types of all answers: the success and error envelopes, page
// metadata and times (contract, section 1). It depends on no HTTP framework. Start reading at
// Success and Failure.
package api

import (
	"time"

	"github.com/go-json-experiment/json"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// TimeLayout is RFC 3339 in UTC with milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Time is a time.Time that is written in TimeLayout.
type Time time.Time

// MarshalText writes the time in UTC, cut to the millisecond.
func (t Time) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, TimeLayout), nil
}

// UnmarshalText reads any RFC 3339 time.
func (t *Time) UnmarshalText(b []byte) error {
	parsed, err := time.Parse(time.RFC3339Nano, string(b))
	*t = Time(parsed)
	return err
}

// TimePtr returns nil for nil, so that an absent time is written as null.
func TimePtr(t *time.Time) *Time {
	if t == nil {
		return nil
	}
	return (*Time)(t)
}

// Success is the envelope of every 2xx answer. Data is always written, as null when there is none,
// because clients only unwrap a body that has it.
type Success struct {
	StatusCode int    `json:"statusCode"`
	Message    string `json:"message"`
	Data       any    `json:"data"`
	Metadata   *Page  `json:"metadata,omitzero"`
	// Warnings name fields of the request that its operation does not know.
	Warnings []string `json:"warnings,omitzero"`
}

// Page describes the part of a list that an answer holds.
type Page struct {
	Total int64 `json:"total"`
	Page  int   `json:"page"`
	Limit int   `json:"limit"`
	Pages int   `json:"pages"`
	// TotalCapped tells, in lists whose total has a bound, whether there may be more entries.
	TotalCapped *bool `json:"total_capped,omitzero"`
}

// NewPage counts the pages that total items fill, limit items each.
func NewPage(total int64, page, limit int) Page {
	return Page{Total: total, Page: page, Limit: limit, Pages: int((total + int64(limit) - 1) / int64(limit))}
}

// Failure is the envelope of every answer with a status of 400 or more.
type Failure struct {
	StatusCode int    `json:"statusCode"`
	Error      string `json:"error"`
	Message    string `json:"message"`
	Code       string `json:"code"`
	Data       any    `json:"data,omitzero"`
}

// Problem is a Failure in the form of RFC 9457, for clients that accept application/problem+json.
type Problem struct {
	Type     string             `json:"type"` // page of the code in the served docs, relative to the request
	Title    string             `json:"title"`
	Status   int                `json:"status"`
	Detail   string             `json:"detail"`
	Instance string             `json:"instance"` // the request id
	Code     string             `json:"code"`
	Errors   []apperr.Violation `json:"errors,omitzero"`
}

// Marshal writes v as compact JSON: nil slices as [], nil maps as {}, map keys sorted, no HTML
// escapes.
func Marshal(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true))
}
