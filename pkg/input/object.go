// Package input owns reading what a client sent, a JSON object or a query string, field by field, and collects every broken rule on the way.
// Start reading at Object; Query is its twin for the query string.
//
// Getters return the value and whether the field was there. A field of the wrong type counts as not there and adds a violation; Err returns all
// of them as one VALIDATION_ERROR. Unknown fields are ignored.
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

// maxDepth bounds how deep a stored JSON object may nest. (The decoder itself stops at 10,000 levels; what is kept must also fit inside the
// envelope of an answer.)
const maxDepth = 100

// Violations collects broken rules; its zero value is ready.
type Violations struct{ list []apperr.Violation }

// Fail notes that the field at name ("alias", without the slash) breaks a rule.
func (v *Violations) Fail(name, message string) {
	v.list = append(v.list, apperr.Violation{InstancePath: "/" + name, Message: message})
}

// Err returns nil, or all violations as one VALIDATION_ERROR.
func (v *Violations) Err() error {
	if len(v.list) == 0 {
		return nil
	}
	return apperr.Validation(v.list...)
}

// Object is the JSON object in a request body. It keeps pointing into the body that it was parsed from.
type Object struct {
	Violations
	fields map[string]jsontext.Value
}

// ParseObject reads body, which must be one JSON object (RFC 8259) in UTF-8, with no name twice and no lone surrogate (no
// UTF-8 string can hold one, and storing something else would lose it); an empty body is an
// empty object, because the official clients send a JSON content type with no body. The error is a VALIDATION_ERROR.
func ParseObject(body []byte) (*Object, error) {
	return parse(body, func(string) bool { return true })
}

// ParseFields is ParseObject for bodies of many megabytes: it keeps the named fields only, and checks only them for standing twice, so that a body
// of a million names costs no more memory than its own bytes.
func ParseFields(body []byte, names ...string) (*Object, error) {
	return parse(body, func(name string) bool { return slices.Contains(names, name) }, jsontext.AllowDuplicateNames(true))
}

func parse(body []byte, wanted func(name string) bool, options ...jsontext.Options) (*Object, error) {
	o := &Object{fields: map[string]jsontext.Value{}}
	if len(bytes.TrimSpace(body)) == 0 {
		return o, nil
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), options...)
	if dec.PeekKind() != jsontext.KindBeginObject {
		return nil, apperr.InvalidField("", "body must be a JSON object in UTF-8")
	}
	_, _ = dec.ReadToken() // the brace just peeked at
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, notJSON(err)
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		switch end := dec.InputOffset(); {
		case !wanted(name):
		case o.Has(name):
			return nil, notJSON(&jsontext.SyntacticError{ByteOffset: end, JSONPointer: jsontext.Pointer("").AppendToken(name), Err: jsontext.ErrDuplicateName})
		default:
			// The decoder's own slice lives only until its next call; the same bytes in body stay.
			o.fields[name] = jsontext.Value(body[end-int64(len(value)) : end])
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	if len(bytes.TrimSpace(body[dec.InputOffset():])) != 0 {
		return nil, apperr.InvalidField("", "body must be a single JSON object")
	}
	return o, nil
}

// maxPointer bounds how precisely a fault is located, in bytes: a body of many levels must not come back as one long path.
const maxPointer = 255

func notJSON(err error) error {
	path := ""
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if path = string(syntax.JSONPointer); len(path) > maxPointer { // what holds the place
			path = path[:strings.LastIndexByte(path[:maxPointer+1], '/')]
		}
	}
	e := apperr.Wrap(err, apperr.Invalid, "VALIDATION_ERROR", "Validation failed")
	e.Violations = []apperr.Violation{{InstancePath: path, Message: "must be valid JSON in UTF-8, without duplicate names, nested at most 10000 levels deep"}}
	return e
}

// Has reports whether the field was sent, null included.
func (o *Object) Has(name string) bool { _, ok := o.fields[name]; return ok }

// IsNull reports whether the field was sent as null.
func (o *Object) IsNull(name string) bool { return o.fields[name].Kind() == jsontext.KindNull }

// DropNull forgets the named fields where they are null: optional fields that some clients send as null when they have nothing to say.
func (o *Object) DropNull(names ...string) {
	for _, name := range names {
		if o.Has(name) && o.IsNull(name) {
			delete(o.fields, name)
		}
	}
}

// Text returns a string field that may hold any code point, NUL included.
func (o *Object) Text(name string) (string, bool) {
	raw, ok := o.typed(name, jsontext.KindString, "must be a string")
	if !ok {
		return "", false
	}
	s, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		o.Fail(name, "must be a string of valid Unicode")
		return "", false
	}
	return string(s), true
}

// String returns a string field of min to max characters (code points) without NUL, which no PostgreSQL text can hold.
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
	raw, there := o.fields[name]
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

// JSONObject returns a field that is a JSON object, compact: no white space, strings with no escape that they do not need, numbers and the
// order of the names as they were sent. At most max bytes in that form and 100 levels deep.
func (o *Object) JSONObject(name string, max int) (jsontext.Value, bool) {
	raw, ok := o.typed(name, jsontext.KindBeginObject, "must be a JSON object")
	if !ok {
		return nil, false
	}
	// Looking for names that stand twice remembers all names: only what is known to be small is worth that memory.
	formatted, err := jsontext.AppendFormat(nil, raw, jsontext.AllowDuplicateNames(true))
	if err != nil {
		o.Fail(name, "must be a JSON object of valid Unicode")
		return nil, false
	}
	compact := jsontext.Value(formatted)
	switch {
	case len(compact) > max:
		o.Fail(name, fmt.Sprintf("must be at most %d bytes of JSON", max))
	case !compact.IsValid():
		o.Fail(name, "must not have the same name twice in one object")
	case tooDeep(compact):
		o.Fail(name, fmt.Sprintf("must nest at most %d levels deep", maxDepth))
	default:
		return compact, true
	}
	return nil, false
}

func tooDeep(v jsontext.Value) bool {
	dec := jsontext.NewDecoder(bytes.NewBuffer(v))
	for {
		if _, err := dec.ReadToken(); err != nil {
			return false // the end: v is known to be valid
		}
		if dec.StackDepth() > maxDepth {
			return true
		}
	}
}

// Raw returns the field as it was sent, for fields of more than one type.
func (o *Object) Raw(name string) (jsontext.Value, bool) { v, ok := o.fields[name]; return v, ok }

// Strings returns an array of strings, each without NUL and at most maxLen characters, at most maxItems of them.
func (o *Object) Strings(name string, maxItems, maxLen int) ([]string, bool) {
	raw, ok := o.typed(name, jsontext.KindBeginArray, "must be an array of strings")
	if !ok {
		return nil, false
	}
	dec := jsontext.NewDecoder(bytes.NewReader(raw))
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
	raw, ok := o.fields[name]
	if !ok {
		return nil, false
	}
	if raw.Kind() != kind {
		o.Fail(name, message)
		return nil, false
	}
	return raw, true
}
