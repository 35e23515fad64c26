package render

import (
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

type operationView struct {
	ID, Method, Path, Summary string
	Text                      []template.HTML
	Who                       string
	Parameters, Body          []fieldView
	BodyRequired              bool
	Answers                   []answerView
	Errors                    []statusView
	Curl                      string
}

type answerView struct {
	Status  string
	Text    template.HTML
	Type    string // media type when it is not JSON
	Fields  []fieldView
	Example string
}

type statusView struct {
	Status string
	Text   template.HTML
	Codes  []codeView
}

func (o operationView) canAnswer(code string) bool {
	return slices.ContainsFunc(o.Errors, func(s statusView) bool {
		return slices.ContainsFunc(s.Codes, func(c codeView) bool { return c.Code.Code == code })
	})
}

// source is what an operation is rendered from.
type source struct {
	t     *openapi3.T
	file  tree
	codes map[string]codeView
}

const jsonType = "application/json"

func (s source) operation(path, method string, item *openapi3.PathItem, op *openapi3.Operation) (operationView, error) {
	o := operationView{
		ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Text: paragraphs(op.Description),
		Who: who(s.t, op),
	}
	params := append(slices.Clone(item.Parameters), op.Parameters...)
	for _, p := range params {
		o.Parameters = append(o.Parameters, parameter(p.Value))
	}
	at := []string{"paths", path, strings.ToLower(method)}
	var body []byte
	if op.RequestBody != nil {
		o.Body, o.BodyRequired = fields(op.RequestBody.Value.Content.Get(jsonType).Schema), op.RequestBody.Value.Required
		var err error
		if body, err = s.example("", append(at, "requestBody", "content", jsonType)...); err != nil {
			return o, err
		}
	}
	o.Curl = curlLine(method, path, params, string(body), o.Who)
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		r := op.Responses.Value(status).Value
		var err error
		if status >= "400" {
			err = s.addError(&o, status, r)
		} else {
			err = s.addAnswer(&o, status, r, append(at, "responses", status, "content", jsonType))
		}
		if err != nil {
			return o, fmt.Errorf("answer %s: %w", status, err)
		}
	}
	return o, nil
}

func (s source) addError(o *operationView, status string, r *openapi3.Response) error {
	var names []string
	if err := extension(r.Extensions, "x-codes", &names); err != nil {
		return err
	}
	view := statusView{Status: status, Text: describe(r)}
	for _, name := range names {
		c, ok := s.codes[name]
		if !ok {
			return fmt.Errorf("code %s is not in the table of codes", name)
		}
		view.Codes = append(view.Codes, c)
	}
	o.Errors = append(o.Errors, view)
	return nil
}

func (s source) addAnswer(o *operationView, status string, r *openapi3.Response, at []string) error {
	a := answerView{Status: status, Text: describe(r)}
	if media := r.Content.Get(jsonType); media != nil && media.Schema != nil {
		a.Fields = fields(payload(media.Schema))
		pretty, err := s.example("  ", at...)
		if err != nil {
			return err
		}
		a.Example = string(pretty)
	} else {
		a.Type = strings.Join(slices.Sorted(maps.Keys(r.Content)), ", ")
	}
	o.Answers = append(o.Answers, a)
	return nil
}

// example returns the example of the media type at the path as JSON.
func (s source) example(indent string, at ...string) ([]byte, error) {
	node := s.file.example(at...)
	if node == nil {
		return nil, fmt.Errorf("%s has no example", strings.Join(at, " "))
	}
	return s.file.json(node, indent)
}

func describe(r *openapi3.Response) template.HTML {
	if r.Description == nil {
		return ""
	}
	return inline(*r.Description)
}

// who says in words what the operation accepts as a credential.
func who(t *openapi3.T, op *openapi3.Operation) string {
	accepted := t.Security
	if op.Security != nil {
		accepted = *op.Security
	}
	var session, token bool
	for _, requirement := range accepted {
		_, isSession := requirement["session"]
		session, token = session || isSession, token || !isSession
	}
	switch {
	case session && token:
		return "session or auth token"
	case session:
		return "session"
	case token:
		return "auth token"
	}
	return "anybody"
}

// payload returns the part of an envelope's schema that differs between operations: data, and the
// metadata of a page.
func payload(schema *openapi3.SchemaRef) *openapi3.SchemaRef {
	for _, part := range schema.Value.AllOf {
		if data := part.Value.Properties["data"]; data != nil && part.Ref == "" {
			return data
		}
	}
	return schema
}

// curlLine returns a shell command that calls the operation with its examples.
func curlLine(method, path string, params openapi3.Parameters, body, who string) string {
	query := url.Values{}
	for _, p := range params {
		if p.Value.Example == nil {
			continue
		}
		value := fmt.Sprint(p.Value.Example)
		if p.Value.In == openapi3.ParameterInPath {
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(value))
		} else {
			query.Set(p.Value.Name, value)
		}
	}
	target := "http://localhost:8080" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	parts := []string{"curl"}
	if method != http.MethodGet {
		parts[0] += " -X " + method
	}
	parts[0] += " " + quote(target)
	if who != "anybody" {
		parts = append(parts, `-H "Authorization: Bearer $TOKEN"`)
	}
	if body != "" {
		parts = append(parts, "-H 'Content-Type: application/json'", "-d "+quote(body))
	}
	return strings.Join(parts, " \\\n  ")
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
