package render

import (
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// fieldView is a row of a table of fields or parameters.
type fieldView struct {
	Name     string // dotted, with [] behind lists; empty for what is no object
	In       string // where a parameter stands
	Type     string
	Rule     string
	Required bool
	Or       bool // no field: what follows is the other form that the body can have
	Text     template.HTML
}

// maxNesting ends schemas that contain themselves.
const maxNesting = 4

func parameter(p *openapi3.Parameter) fieldView {
	f := fieldView{Name: p.Name, In: p.In, Required: p.Required, Text: inline(p.Description)}
	f.Type, f.Rule = typeOf(p.Schema.Value), rule(p.Schema.Value)
	if p.Schema.Ref != "" { // a shared word: its own description says what the word looks like
		f.Text += " " + inline(p.Schema.Value.Description)
	}
	return f
}

// fields flattens a schema into rows, one for each property. A schema without properties is one row
// without a name.
func fields(ref *openapi3.SchemaRef) []fieldView {
	alternatives := ref.Value.OneOf
	if len(alternatives) == 0 {
		alternatives = openapi3.SchemaRefs{ref}
	}
	var out []fieldView
	for i, alternative := range alternatives {
		if i > 0 {
			out = append(out, fieldView{Or: true, Text: inline(alternative.Value.Description)})
		}
		before := len(out)
		suffix, object := inside(alternative.Value)
		if suffix != "" {
			suffix += "."
		}
		flatten(&out, suffix, object, 0)
		if len(out) == before {
			out = append(out, fieldView{Type: typeOf(alternative.Value), Rule: rule(alternative.Value),
				Text: inline(alternative.Value.Description)})
		}
	}
	return out
}

func flatten(out *[]fieldView, prefix string, object *openapi3.Schema, depth int) {
	if depth == maxNesting {
		return
	}
	for _, p := range propertiesOf(object) {
		s := p.schema.Value
		name := prefix + p.name
		*out = append(*out, fieldView{Name: name, Type: typeOf(s), Rule: rule(s), Required: p.required,
			Text: inline(s.Description)})
		suffix, inner := inside(s)
		flatten(out, name+suffix+".", inner, depth+1)
	}
}

// inside returns the schema whose properties are shown in place of s, and what stands between the
// names: the entries of a list, the first alternative of "this or null", or s itself.
func inside(s *openapi3.Schema) (suffix string, object *openapi3.Schema) {
	switch {
	case s.Items != nil && s.Type.Is(openapi3.TypeArray):
		return "[]", s.Items.Value
	case len(s.OneOf) > 0:
		return "", s.OneOf[0].Value
	}
	return "", s
}

type property struct {
	name     string
	schema   *openapi3.SchemaRef
	required bool
}

// propertiesOf returns the properties of a schema and of the schemas that it is all of.
func propertiesOf(schema *openapi3.Schema) []property {
	var out []property
	for _, name := range schema.Required {
		if p := schema.Properties[name]; p != nil {
			out = append(out, property{name, p, true})
		}
	}
	var others []string
	for name := range schema.Properties {
		if !slices.Contains(schema.Required, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	for _, name := range others {
		out = append(out, property{name, schema.Properties[name], false})
	}
	for _, part := range schema.AllOf {
		out = append(out, propertiesOf(part.Value)...)
	}
	return out
}

func typeOf(s *openapi3.Schema) string {
	switch {
	case s.Const != nil:
		return literal(s.Const)
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			words[i] = literal(v)
		}
		return strings.Join(words, " | ")
	case len(s.OneOf) > 0 || len(s.AnyOf) > 0:
		var words []string
		for _, alternative := range slices.Concat(s.OneOf, s.AnyOf) {
			words = append(words, typeOf(alternative.Value))
		}
		return strings.Join(slices.Compact(words), " or ")
	case s.Type == nil:
		return "object"
	}
	words := s.Type.Slice()
	if s.Type.Is(openapi3.TypeArray) && s.Items != nil {
		return "list of " + typeOf(s.Items.Value)
	}
	return strings.Join(words, " or ")
}

func literal(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

// rule puts the bounds of a schema into words. A pattern is shown only where no description says
// the same.
func rule(s *openapi3.Schema) string {
	var parts []string
	switch {
	case s.Min != nil && s.Max != nil:
		parts = append(parts, fmt.Sprintf("%.0f to %.0f", *s.Min, *s.Max))
	case s.Min != nil:
		parts = append(parts, fmt.Sprintf("at least %.0f", *s.Min))
	}
	switch {
	case s.MaxLength != nil && s.MinLength > 0:
		parts = append(parts, fmt.Sprintf("%d to %d characters", s.MinLength, *s.MaxLength))
	case s.MaxLength != nil:
		parts = append(parts, fmt.Sprintf("at most %d characters", *s.MaxLength))
	}
	if s.Format == "date-time" {
		parts = append(parts, "RFC 3339, UTC")
	} else if s.Pattern != "" && s.Description == "" {
		parts = append(parts, s.Pattern)
	}
	if s.Default != nil {
		parts = append(parts, "default "+literal(s.Default))
	}
	return strings.Join(parts, ", ")
}
