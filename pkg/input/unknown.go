package input

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxWarnings bounds the number of unknown fields that an answer names, and maxName the length of
// each name.
const (
	maxWarnings = 20
	maxName     = 64
)

// unknown returns the fields that no getter has read as JSON pointers (RFC 6901), in the order of
// the body, at most maxWarnings.
func (o *Object) unknown() []string {
	var names []string
	for _, f := range o.fields {
		if !f.known {
			names = append(names, f.name)
		}
	}
	names = append(names, o.others...)
	names = names[:min(len(names), maxWarnings)]
	for i, name := range names {
		names[i] = o.path + pointer(name)
	}
	return names
}

// pointer returns the JSON pointer to a member, with a bounded part of its name.
func pointer(name string) string {
	if len(name) > maxName {
		cut := maxName
		for cut > 0 && !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut]
	}
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// Warnings returns a warning for each field that no getter has read. It must be called after all
// getters.
func (o *Object) Warnings() []string {
	warnings := o.unknown()
	for i, path := range warnings {
		warnings[i] = "unknown field " + path + " was ignored"
	}
	return warnings
}

// RefuseUnknown adds a violation for each field that is not in known.
func (o *Object) RefuseUnknown(known ...string) {
	for _, f := range o.fields {
		if !slices.Contains(known, f.name) && len(o.list) < maxWarnings {
			o.Fail(pointer(f.name)[1:], "is not a field of this request")
		}
	}
}
