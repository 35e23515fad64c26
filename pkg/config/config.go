// Package config provides the settings of a process: Load fills a struct from environment variables
// by its tags and reports every problem at once, and Print lists the settings with the values in
// force (-config). Start reading at Load; table.go makes the list.
//
// Tags: env:"NAME" (",required" when there is no default), envDefault:"value", doc:"one sentence".
// A field with the tags removed:"NAME" and envDefault is a constant that was a setting in an
// earlier release; only tests change it. Removed reports such variables that are still set. A field
// with the tag group:"PREFIX_" is a map from names to structs of settings: OIDC_ACME_ISSUER sets
// ISSUER of the entry "acme" of the group OIDC_; see group.go. Every field of type Secret may
// instead be given as NAME_FILE, the path of a file that holds the value. An empty variable or file
// counts as not set; a value between quotation marks is refused.
package config

import (
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Secret is a setting that must not be printed: every way of formatting it gives "[hidden]", or ""
// when it is empty.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[hidden]"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from JSON and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the secret from the environment.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// Setting is one entry of the list that -config prints: a variable, its default and its meaning.
// Effective adds Value, which is in force and masked when it is secret, and Source, its origin.
type Setting struct {
	Name, Default, Doc string
	Required, Secret   bool
	Value, Source      string
}

// Load fills dst, a pointer to a struct, from environ, which has the form of os.Environ. It then
// calls the method Validate() error of dst and of every struct in it, where there is one. The error
// names every wrong setting on a line of its own.
func Load(dst any, environ []string) error {
	vars := env.ToMap(environ)
	maps.DeleteFunc(vars, func(_, value string) bool { return value == "" })
	problems := fill(reflect.ValueOf(dst).Elem(), vars, "")
	return errors.Join(append(problems, unrelated(problems, validate(reflect.ValueOf(dst).Elem()))...)...)
}

// settingName matches the name of a setting in an error.
var settingName = regexp.MustCompile(`\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b|\b[A-Z]{2,}\b`)

// unrelated returns the errors of found that name no setting of problems, because a field that
// could not be filled has no value to validate.
func unrelated(problems, found []error) []error {
	unfilled := map[string]bool{}
	for _, err := range problems {
		unfilled[strings.TrimSuffix(settingName.FindString(err.Error()), "_FILE")] = true
	}
	return slices.DeleteFunc(found, func(err error) bool {
		return slices.ContainsFunc(settingName.FindAllString(err.Error(), -1),
			func(name string) bool { return unfilled[name] })
	})
}

// fill sets the fields of v from the variables whose names are those in the tags after prefix. Each
// field is parsed in a struct of its own, because the parser's errors give only the name of the
// field, and many fields are called Timeout.
func fill(v reflect.Value, vars map[string]string, prefix string) []error {
	var problems []error
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if group, ok := f.Tag.Lookup("group"); ok {
			problems = append(problems, fillGroup(v.Field(i), vars, group)...)
			continue
		}
		tag, ok := f.Tag.Lookup("env")
		if _, constant := f.Tag.Lookup("removed"); !ok && !constant {
			if f.Type.Kind() == reflect.Struct && f.IsExported() {
				problems = append(problems, fill(v.Field(i), vars, prefix)...)
			}
			continue
		}
		name, _, _ := strings.Cut(tag, ",") // "" for a constant
		if name != "" {
			name = prefix + name
		}
		if err := errors.Join(Unquoted(name, vars[name]), Unquoted(name+"_FILE", vars[name+"_FILE"])); err != nil {
			problems = append(problems, err)
			continue
		}
		if f.Type == reflect.TypeFor[Secret]() {
			if err := fromFile(name, vars); err != nil {
				problems = append(problems, err)
				continue
			}
		}
		alone := reflect.New(reflect.StructOf([]reflect.StructField{{Name: f.Name, Type: f.Type, Tag: f.Tag}}))
		alone.Elem().Field(0).Set(v.Field(i))
		if err := env.ParseWithOptions(alone.Interface(), env.Options{Environment: vars, Prefix: prefix}); err != nil {
			problems = append(problems, problem(name, vars, f.Type, err))
			continue
		}
		v.Field(i).Set(alone.Elem().Field(0))
	}
	return problems
}

// Unquoted refuses a value between quotation marks, such as NAME="value" in a file of "docker run
// --env-file" or in docker-compose.yml. No shell removes the marks there, so they would become part
// of the value, which no operator intends.
func Unquoted(name, value string) error {
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		return fmt.Errorf("%s begins and ends with a quotation mark, which would be part of the value: leave both out",
			name)
	}
	return nil
}

// fromFile sets NAME to the content of the file NAME_FILE. If NAME is set too and differs, that is
// an error, because either could be the intended value.
func fromFile(name string, vars map[string]string) error {
	path, ok := vars[name+"_FILE"]
	if !ok {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		// the path may be the secret itself, put there by mistake
		return fmt.Errorf("%s_FILE: %w", name, withoutPath(err))
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		return nil
	}
	if given, ok := vars[name]; ok && given != text {
		return fmt.Errorf("%s and %s_FILE are both set and differ: unset one", name, name)
	}
	vars[name] = text
	return nil
}

// withoutPath returns err without the name of the file that it is about.
func withoutPath(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("cannot %s the file: %w", pathError.Op, pathError.Err)
	}
	return err
}

// problem returns the error for the setting name, which the parser refused with err.
func problem(name string, vars map[string]string, t reflect.Type, err error) error {
	var all env.AggregateError
	var unread env.ParseError
	switch {
	case errors.Is(err, env.VarIsNotSetError{}) && vars[name+"_FILE"] != "":
		return fmt.Errorf("%s is required, and the file %s is empty", name, vars[name+"_FILE"])
	case errors.Is(err, env.VarIsNotSetError{}):
		return fmt.Errorf("%s is required and not set", name)
	case t == reflect.TypeFor[Secret]():
		return fmt.Errorf("%s cannot be read", name) // err could quote it
	case form(t) != "":
		return fmt.Errorf("%s: %q is not %s", name, vars[name], form(t))
	case errors.As(err, &all) && len(all.Errors) == 1 && errors.As(all.Errors[0], &unread):
		err = unread.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// form describes the values of a setting of type t; "" for a type whose own error describes them.
func form(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 500ms, 30s or 1h30m"
	case reflect.TypeFor[slog.Level]():
		return "debug, info, warn or error"
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return ""
	}
	switch {
	case t.Kind() == reflect.Bool:
		return "true or false"
	case reflect.Zero(t).CanInt():
		return fmt.Sprintf("a whole number of at most %d", uint64(1)<<(t.Bits()-1)-1)
	case reflect.Zero(t).CanUint():
		return fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-t.Bits()))
	case reflect.Zero(t).CanFloat():
		return "a number"
	}
	return ""
}

// Problems collects the errors of a Validate method, each one sentence that names its setting.
type Problems []error

// Must adds an error with the formatted sentence unless ok.
func (p *Problems) Must(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

// Address adds an error unless addr is host:port, an address to listen on.
func (p *Problems) Address(name, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	p.Must(err == nil, "%s: %q is not host:port, for example 127.0.0.1:8080", name, addr)
}

// Err joins the problems into one error; it is nil when there are none.
func (p Problems) Err() error { return errors.Join(p...) }

// validate calls the Validate methods of v and of every struct in it, and returns their errors.
func validate(v reflect.Value) []error {
	var problems []error
	if checked, ok := v.Interface().(interface{ Validate() error }); ok {
		problems = append(problems, each(checked.Validate())...)
	}
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Struct && v.Type().Field(i).IsExported() {
			problems = append(problems, validate(f)...)
		}
	}
	return problems
}

// each returns the errors that err joins, or err alone when it joins none.
func each(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// Defaults fills dst with its defaults, as Load does with an empty environment.
func Defaults(dst any) error {
	return env.ParseWithOptions(dst, env.Options{Environment: map[string]string{}})
}

// Removed returns one sentence for each variable of environ that was a setting of dst, a pointer to
// a struct, in an earlier release and has no effect any more.
func Removed(dst any, environ []string) []string {
	return removed(reflect.TypeOf(dst).Elem(), env.ToMap(environ))
}

func removed(t reflect.Type, vars map[string]string) (sentences []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("removed"); vars[name] != "" {
			sentences = append(sentences, fmt.Sprintf("%s is no setting any more and has no effect: the value is %s", name,
				f.Tag.Get("envDefault")))
		}
		if _, setting := f.Tag.Lookup("env"); !setting && f.Type.Kind() == reflect.Struct {
			sentences = append(sentences, removed(f.Type, vars)...)
		}
	}
	return sentences
}

// Settings lists the settings of dst, a pointer to a struct, in the order of its fields; embedded
// structs are part of the list. The settings of a group stand there once, with <NAME> in their
// names.
func Settings(dst any) []Setting { return settings(reflect.TypeOf(dst).Elem(), "", nil) }

// settings lists the settings of t with prefix before their names, and those of a group for each of
// its entries in vars.
func settings(t reflect.Type, prefix string, vars map[string]string) []Setting {
	var out []Setting
	for i := range t.NumField() {
		f := t.Field(i)
		if group, ok := f.Tag.Lookup("group"); ok {
			out = append(out, groupSettings(f.Type.Elem(), vars, group)...)
			continue
		}
		tag, ok := f.Tag.Lookup("env")
		if !ok {
			if f.Type.Kind() == reflect.Struct {
				out = append(out, settings(f.Type, prefix, vars)...)
			}
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		out = append(out, Setting{
			Name: prefix + name, Default: f.Tag.Get("envDefault"), Doc: f.Tag.Get("doc"),
			Required: strings.Contains(options, "required") || strings.Contains(options, "notEmpty"),
			Secret:   f.Type == reflect.TypeFor[Secret](),
		})
	}
	return out
}
