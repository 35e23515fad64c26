package config

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/caarlos0/env/v11"
)

// The values of Setting.Source.
const (
	FromDefault     = "default"
	FromEnvironment = "env"
	FromFile        = "file"
)

// Effective lists the settings of dst, a pointer to a struct, with the value that each has in
// environ. Secrets are masked. A value is shown as it was given, also when Load would refuse it.
func Effective(dst any, environ []string) []Setting {
	vars := env.ToMap(environ)
	maps.DeleteFunc(vars, func(_, value string) bool { return value == "" })
	all := settings(reflect.TypeOf(dst).Elem(), "", vars)
	for i := range all {
		s := &all[i]
		value, set := vars[s.Name]
		path, inFile := vars[s.Name+"_FILE"]
		switch {
		case set:
			s.Value, s.Source = value, FromEnvironment
		case s.Secret && inFile:
			s.Value, s.Source = "(unreadable)", FromFile
			if content, err := os.ReadFile(path); err == nil {
				s.Value = strings.TrimRight(string(content), "\r\n")
			}
		default:
			s.Value, s.Source = s.Default, FromDefault
		}
		s.Value = mask(*s)
	}
	return all
}

// mask returns the value of s in the form in which -config may show it.
func mask(s Setting) string {
	switch {
	case s.Value == "" && s.Required:
		return "(required)"
	case s.Value == "":
		return "(none)"
	case s.Secret && s.Source == FromDefault, s.Value == "(unreadable)":
		return s.Value
	case s.Secret:
		return "[hidden]"
	}
	scheme, rest, found := strings.Cut(s.Value, "://")
	if !found {
		return s.Value
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = "[hidden]" + rest[at:]
	}
	if address, query, found := strings.Cut(rest, "?"); found && query != "" {
		rest = address + "?[hidden]"
	}
	return scheme + "://" + rest
}

// Print writes the settings of dst with the values that they have in environ to w.
func Print(w io.Writer, dst any, environ []string) error { return Table(w, Effective(dst, environ)) }

// tableWidth is the largest number of columns of a line.
const tableWidth = 120

const indent = "    "

// Table writes settings to w. Each has its name, value and source on one line when they fit, and
// its meaning below.
func Table(w io.Writer, settings []Setting) error {
	var b bytes.Buffer
	for _, s := range settings {
		value, source := strings.Join(strings.Fields(s.Value), " "), "("+s.Source+")"
		if line := s.Name + " = " + value + "  " + source; utf8.RuneCountInString(line) <= tableWidth {
			fmt.Fprintln(&b, line)
		} else {
			fmt.Fprintln(&b, s.Name, "=", source)
			wrap(&b, value)
		}
		doc := s.Doc
		if s.Secret {
			doc += " Or " + s.Name + "_FILE."
		}
		if s.Default != "" && (s.Source == FromEnvironment || s.Source == FromFile) {
			doc += " Default: " + s.Default + "."
		}
		wrap(&b, doc)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// wrap writes text in lines of at most tableWidth columns; a word that is longer is cut.
func wrap(b *bytes.Buffer, text string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		for {
			if next := strings.TrimSpace(line + " " + word); utf8.RuneCountInString(indent+next) <= tableWidth {
				line = next
				break
			}
			if line != "" {
				fmt.Fprintln(b, indent+line)
				line = ""
				continue
			}
			runes := []rune(word)
			fmt.Fprintln(b, indent+string(runes[:tableWidth-len(indent)]))
			word = string(runes[tableWidth-len(indent):])
		}
	}
	if line != "" {
		fmt.Fprintln(b, indent+line)
	}
}
