// Package precondition provides the conditional headers of HTTP (RFC 9110, section 13): If-Match,
// If-None-Match, If-Modified-Since and If-Unmodified-Since. Start reading at Parse and at
// Conditions.Evaluate. Range requests, and with them If-Range, are not part of it.
package precondition

import (
	"net/http"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// Conditions are the conditions of one request. The zero value has none.
type Conditions struct {
	match, noneMatch         *tagList   // nil: no such header
	modifiedSince, unchanged *time.Time // nil: no such header
}

// tagList is a list of entity tags, or "*", which stands for any.
type tagList struct {
	any  bool
	tags []tag
}

// tag is an entity tag (RFC 9110, section 8.8.3). opaque includes the quotes.
type tag struct {
	weak   bool
	opaque string
}

// State is the selected representation of a resource: its current entity tag, which must be strong,
// and the time of its last change. A resource without a representation is absent.
type State struct {
	Exists   bool
	ETag     string
	Modified time.Time
}

// Outcome is the result of an evaluation.
type Outcome uint8

// The outcomes.
const (
	Proceed     Outcome = iota
	NotModified         // answer 304
	Failed              // answer 412
)

// Parse reads the conditional headers. header returns all lines of a header. Lines of If-Match and
// of If-None-Match form one list. A malformed header is an error that names it, although the RFC
// ignores malformed dates: the client means a condition that it does not get.
func Parse(header func(name string) []string) (Conditions, error) {
	var c Conditions
	var faults []apperr.Violation
	tags := func(name string) *tagList {
		lines := header(name)
		if len(lines) == 0 {
			return nil
		}
		list, ok := parseTags(strings.Join(lines, ","))
		if !ok {
			faults = append(faults, apperr.Violation{InstancePath: "/" + name,
				Message: `must be * or a list of entity tags such as "abc"`})
		}
		return list
	}
	date := func(name string) *time.Time {
		lines := header(name)
		if len(lines) == 0 {
			return nil
		}
		t, err := http.ParseTime(strings.Trim(lines[0], " \t"))
		if err != nil || len(lines) > 1 {
			faults = append(faults, apperr.Violation{InstancePath: "/" + name, Message: "must be one HTTP date"})
		}
		return &t
	}
	c.match, c.unchanged = tags("If-Match"), date("If-Unmodified-Since")
	c.noneMatch, c.modifiedSince = tags("If-None-Match"), date("If-Modified-Since")
	if faults != nil {
		return Conditions{}, apperr.Validation(faults...)
	}
	return c, nil
}

// IsZero reports whether there is no condition.
func (c Conditions) IsZero() bool { return c == Conditions{} }

// Evaluate compares the conditions with the state of the resource, in the order of RFC 9110,
// section 13.2.2. safe says that the method is GET or HEAD. If-Unmodified-Since does not apply to
// an absent resource, which has no time of change (section 13.1.4).
func (c Conditions) Evaluate(s State, safe bool) Outcome {
	modified := s.Modified.Truncate(time.Second)
	switch {
	case c.match != nil:
		if !s.Exists || !c.match.contains(s.ETag, false) {
			return Failed
		}
	case c.unchanged != nil && s.Exists && modified.After(*c.unchanged):
		return Failed
	}
	switch {
	case c.noneMatch != nil:
		if !s.Exists || !c.noneMatch.contains(s.ETag, true) {
			return Proceed
		}
		if safe {
			return NotModified
		}
		return Failed
	case c.modifiedSince != nil && safe && s.Exists && !modified.After(*c.modifiedSince):
		return NotModified
	}
	return Proceed
}

// contains compares etag with the list: strongly for If-Match, where a weak tag never matches, and
// weakly for If-None-Match (RFC 9110, section 8.8.3.2).
func (l *tagList) contains(etag string, weakly bool) bool {
	for _, t := range l.tags {
		if t.opaque == etag && (weakly || !t.weak) {
			return true
		}
	}
	return l.any
}

// parseTags reads "*" or a list of entity tags. Empty elements are skipped (RFC 9110, section
// 5.6.1), but at least one tag must be there.
func parseTags(s string) (*tagList, bool) {
	if strings.Trim(s, " \t") == "*" {
		return &tagList{any: true}, true
	}
	var list tagList
	for {
		s = strings.TrimLeft(s, " \t")
		switch {
		case s == "":
			return &list, len(list.tags) > 0
		case s[0] == ',':
			s = s[1:]
			continue
		}
		t, rest, ok := cutTag(s)
		rest = strings.TrimLeft(rest, " \t")
		if !ok || rest != "" && rest[0] != ',' {
			return &list, false
		}
		list.tags = append(list.tags, t)
		s = rest
	}
}

// cutTag reads the entity tag at the start of s and returns the rest.
func cutTag(s string) (t tag, rest string, ok bool) {
	s, t.weak = strings.CutPrefix(s, "W/")
	if s == "" || s[0] != '"' {
		return t, "", false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			t.opaque = s[:i+1]
			return t, s[i+1:], true
		case c <= ' ' || c == 0x7f:
			return t, "", false
		}
	}
	return t, "", false
}
