// Package input provides readers for the JSON object or the query string that a client sent. They
// read field by field and collect every broken rule. Start reading at Object; Query is its
// counterpart for the query string.
//
// Getters return the value and whether the field was sent. A field of the wrong type counts as
// absent and adds a violation; Err returns all violations as one VALIDATION_ERROR. A field that no
// getter has read is unknown: Warnings names it, RefuseUnknown makes it a violation.
package input

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// maxDepth bounds the nesting of a stored JSON object, which must also fit inside the envelope of
// an answer.
const maxDepth = 100

// maxMembers bounds the members of a body. No operation has a tenth of that many fields.
const maxMembers = 256

// sentTimes bounds the ratio between the sent and the compact form of an object: six when every
// character is escaped, and two more for white space.
const sentTimes = 8

// Violations collects broken rules; its zero value is ready.
type Violations struct {
	list []apperr.Violation
	path string // JSON pointer of the object in the body, "" for the body itself
}

// Fail adds a violation of the field at name ("alias", without the slash).
func (v *Violations) Fail(name, message string) {
	v.list = append(v.list, apperr.Violation{InstancePath: v.path + "/" + name, Message: message})
}

// Violated returns the violations so far.
func (v *Violations) Violated() []apperr.Violation { return v.list }

// Err returns all violations as one VALIDATION_ERROR, nil when there are none.
func (v *Violations) Err() error {
	if len(v.list) == 0 {
		return nil
	}
	return apperr.Validation(v.list...)
}

// Object is the JSON object in a request body. It points into the body from which it was parsed.
type Object struct {
	Violations
	fields []field
	unique bool     // no object in the body has a name twice
	others []string // names of members that ParseFields did not keep, at most maxWarnings
}

// field is a member that was kept.
type field struct {
	name  string
	value jsontext.Value
	known bool // a getter has read it
}

// ParseObject reads body, which must be one JSON object (RFC 8259) of at most 256 members in UTF-8,
// with no duplicate name and no lone surrogate (no UTF-8 string can hold one, and a replacement
// would lose it). An empty body is an empty object, because the official clients send a JSON
// content type with no body. The error is a VALIDATION_ERROR. It allocates a few bytes for each
// byte of body.
func ParseObject(body []byte) (*Object, error) {
	return parse(body, newScanner(body, maxBodyDepth, true), func([]byte) bool { return true })
}

// ParseFields is ParseObject for bodies of many megabytes. It keeps only the named fields, and
// refuses a duplicate only of these. It allocates next to nothing.
func ParseFields(body []byte, names ...string) (*Object, error) {
	return parse(body, newScanner(body, maxBodyDepth, false), func(name []byte) bool {
		return slices.ContainsFunc(names, func(n string) bool { return n == string(name) })
	})
}

// ParseFieldsAt is ParseFields for an object inside of a body. path is its JSON pointer, with which
// the pointers of violations and warnings begin.
func ParseFieldsAt(path string, raw []byte, names ...string) (*Object, error) {
	o, err := ParseFields(raw, names...)
	if err == nil {
		o.path = path
		return o, nil
	}
	e := apperr.From(err)
	for i := range e.Violations {
		e.Violations[i].InstancePath = path + e.Violations[i].InstancePath
	}
	return nil, e
}

func parse(body []byte, s *scanner, wanted func(name []byte) bool) (*Object, error) {
	o := &Object{unique: s.names}
	if len(bytes.TrimSpace(body)) == 0 {
		return o, nil
	}
	if s.dec.PeekKind() != jsontext.KindBeginObject {
		return nil, apperr.InvalidField("", "body must be a JSON object in UTF-8")
	}
	_, _ = s.dec.ReadToken() // the opening brace
	o.fields = make([]field, 0, 8)
	for n := 0; s.dec.PeekKind() != jsontext.KindEndObject; n++ {
		if n == maxMembers {
			return nil, apperr.InvalidField("", fmt.Sprintf("must have at most %d members", maxMembers))
		}
		if err := o.readMember(body, s, wanted); err != nil {
			return nil, notJSON(err)
		}
	}
	if _, err := s.dec.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	if len(bytes.TrimSpace(body[s.dec.InputOffset():])) != 0 {
		return nil, apperr.InvalidField("", "body must be a single JSON object")
	}
	return o, nil
}

// readMember keeps the next member of body if it is wanted.
func (o *Object) readMember(body []byte, s *scanner, wanted func(name []byte) bool) error {
	text, err := s.name()
	if err != nil {
		return err
	}
	keep, name := wanted(text), ""
	switch {
	case keep:
		name = string(text)
		if o.index(name) >= 0 {
			return s.fault(jsontext.ErrDuplicateName)
		}
	case len(o.others) < maxWarnings:
		o.others = append(o.others, string(text[:min(len(text), maxPointer)]))
	}
	after := s.dec.InputOffset()
	if err := s.value(); err != nil || !keep {
		return err
	}
	value := jsontext.Value(bytes.TrimLeft(body[after:s.dec.InputOffset()], ": \t\r\n"))
	o.fields = append(o.fields, field{name: name, value: value})
	return nil
}

// maxPointer bounds the path to a syntax error, in bytes, so that a body of many levels does not
// come back as one long path.
const maxPointer = 255

func notJSON(err error) error {
	path := ""
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if path = string(syntax.JSONPointer); len(path) > maxPointer { // the enclosing value
			path = path[:strings.LastIndexByte(path[:maxPointer+1], '/')]
		}
	}
	e := apperr.Wrap(err, apperr.Invalid, "VALIDATION_ERROR", "Validation failed")
	e.Violations = []apperr.Violation{{InstancePath: path,
		Message: fmt.Sprintf("must be valid JSON in UTF-8, without duplicate names, nested at most %d levels deep",
			maxBodyDepth)}}
	return e
}

// index returns the index of the field in fields, -1 when it was not sent.
func (o *Object) index(name string) int {
	return slices.IndexFunc(o.fields, func(f field) bool { return f.name == name })
}

// Raw returns the field as it was sent, for fields of more than one type.
func (o *Object) Raw(name string) (jsontext.Value, bool) {
	i := o.index(name)
	if i < 0 {
		return nil, false
	}
	o.fields[i].known = true
	return o.fields[i].value, true
}

// Has reports whether the field was sent, null included.
func (o *Object) Has(name string) bool { _, ok := o.Raw(name); return ok }

// IsNull reports whether the field was sent as null.
func (o *Object) IsNull(name string) bool { v, _ := o.Raw(name); return v.Kind() == jsontext.KindNull }

// DropNull removes the named fields that are null. It is for optional fields, which some clients
// send as null instead of leaving them out.
func (o *Object) DropNull(names ...string) {
	for _, name := range names {
		if i := o.index(name); i >= 0 && o.fields[i].value.Kind() == jsontext.KindNull {
			o.fields = slices.Delete(o.fields, i, i+1)
		}
	}
}

// Text returns a string field that may hold any code point, NUL included.
func (o *Object) Text(name string) (string, bool) {
	raw, ok := o.typed(name, jsontext.KindString, "must be a string")
	if !ok {
		return "", false
	}
	s, err := jsontext.AppendUnquote(make([]byte, 0, len(raw)), raw)
	if err != nil {
		o.Fail(name, "must be a string of valid Unicode")
		return "", false
	}
	return string(s), true
}

// String returns a string field of min to max characters (code points) without NUL, which no
// PostgreSQL text can hold.
func (o *Object) String(name string, min, max int) (string, bool) {
	s, ok := o.Text(name)
	if !ok {
		return "", false
	}
	if strings.ContainsRune(s, 0) {
		o.Fail(name, "must not contain the NUL character")
		return "", false
	}
	return s, o.length(name, s, min, max)
}

func (o *Object) length(name, s string, min, max int) bool {
	switch n := utf8.RuneCountInString(s); {
	case n < min && min == 1:
		o.Fail(name, "must not be empty")
	case n < min:
		o.Fail(name, fmt.Sprintf("must be at least %d characters", min))
	case n > max:
		o.Fail(name, fmt.Sprintf("must be at most %d characters", max))
	default:
		return true
	}
	return false
}

// Bool returns a boolean field.
func (o *Object) Bool(name string) (value, ok bool) {
	raw, there := o.Raw(name)
	if !there {
		return false, false
	}
	switch raw.Kind() {
	case jsontext.KindTrue:
		return true, true
	case jsontext.KindFalse:
		return false, true
	default:
		o.Fail(name, "must be a boolean")
		return false, false
	}
}

// Int returns a whole number from min to max.
func (o *Object) Int(name string, min, max int64) (int64, bool) {
	raw, ok := o.typed(name, jsontext.KindNumber, "must be a whole number")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < min || n > max {
		o.Fail(name, fmt.Sprintf("must be a whole number from %d to %d", min, max))
		return 0, false
	}
	return n, true
}

// JSONObject returns a field that is a JSON object in compact form: without white space and
// unnecessary escapes, with the numbers and the order of names as sent. It may have max bytes in
// compact form, eight times as many as sent, and 100 levels.
func (o *Object) JSONObject(name string, max int) (jsontext.Value, bool) {
	raw, ok := o.typed(name, jsontext.KindBeginObject, "must be a JSON object")
	if !ok {
		return nil, false
	}
	tooLong := fmt.Sprintf("must be at most %d bytes of JSON", max)
	if len(raw) > sentTimes*max {
		o.Fail(name, tooLong)
		return nil, false
	}
	switch err := newScanner(raw, maxDepth, !o.unique).value(); {
	case errors.Is(err, errTooDeep):
		o.Fail(name, fmt.Sprintf("must nest at most %d levels deep", maxDepth))
		return nil, false
	case err != nil:
		o.Fail(name, "must not have the same name twice in one object")
		return nil, false
	}
	// The compact form is never longer than the sent form.
	compact, err := jsontext.AppendFormat(make([]byte, 0, len(raw)), raw, jsontext.AllowDuplicateNames(true))
	switch {
	case err != nil:
		o.Fail(name, "must be a JSON object of valid Unicode")
	case len(compact) > max:
		o.Fail(name, tooLong)
	default:
		return compact, true
	}
	return nil, false
}

// Array returns the elements of an array of min to max elements, as they were sent.
func (o *Object) Array(name string, min, max int) ([]jsontext.Value, bool) {
	raw, ok := o.typed(name, jsontext.KindBeginArray, "must be an array")
	if !ok {
		return nil, false
	}
	s := newScanner(raw, maxBodyDepth, false)
	_, _ = s.dec.ReadToken()
	var out []jsontext.Value
	for s.dec.PeekKind() != jsontext.KindEndArray && len(out) <= max {
		after := s.dec.InputOffset()
		if err := s.value(); err != nil {
			o.Fail(name, "must be an array of JSON values")
			return nil, false
		}
		out = append(out, bytes.TrimLeft(raw[after:s.dec.InputOffset()], ", \t\r\n"))
	}
	if len(out) < min || len(out) > max {
		o.Fail(name, fmt.Sprintf("must have %d to %d entries", min, max))
		return nil, false
	}
	return out, true
}

// Strings returns an array of strings, each without NUL and at most maxLen characters, at most
// maxItems of them.
func (o *Object) Strings(name string, maxItems, maxLen int) ([]string, bool) {
	raw, ok := o.typed(name, jsontext.KindBeginArray, "must be an array of strings")
	if !ok {
		return nil, false
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	_, _ = dec.ReadToken()
	var out []string
	for dec.PeekKind() != jsontext.KindEndArray {
		tok, err := dec.ReadToken()
		path := name + "/" + strconv.Itoa(len(out))
		switch {
		case err != nil || tok.Kind() != jsontext.KindString:
			o.Fail(path, "must be a string")
			return nil, false
		case len(out) == maxItems:
			o.Fail(name, fmt.Sprintf("must have at most %d entries", maxItems))
			return nil, false
		}
		s := tok.String()
		if strings.ContainsRune(s, 0) || utf8.RuneCountInString(s) > maxLen {
			o.Fail(path, fmt.Sprintf("must be at most %d characters without NUL", maxLen))
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

func (o *Object) typed(name string, kind jsontext.Kind, message string) (jsontext.Value, bool) {
	raw, ok := o.Raw(name)
	if !ok {
		return nil, false
	}
	if raw.Kind() != kind {
		o.Fail(name, message)
		return nil, false
	}
	return raw, true
}
