package render

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed assets/page.html assets/error.html
var assets embed.FS

// limit is one row of x-realmgate-limits.
type limit struct {
	Setting string `json:"setting"`
	Default string `json:"default"`
	Counts  string `json:"counts"`
}

type pageView struct {
	Title, Version string
	Intro          []template.HTML
	Groups         []groupView
	Shared         []codeView
	Codes          []codeView
	Limits         []limit
}

type groupView struct {
	ID, Name   string
	Intro      []template.HTML
	Operations []operationView
}

type errorView struct {
	Title, Reason string
	Code          codeView
	Everywhere    bool
	Operations    []operationView
}

type codeView struct {
	Code
	Text, Fix template.HTML
}

// render fills the page and the error pages.
func (d *Docs) render(t *openapi3.T, file tree, limits []limit) error {
	pages, err := template.ParseFS(assets, "assets/page.html", "assets/error.html")
	if err != nil {
		return fmt.Errorf("parse the docs' templates: %w", err)
	}
	codes := map[string]codeView{}
	view := pageView{Title: t.Info.Title, Version: t.Info.Version, Intro: paragraphs(t.Info.Description), Limits: limits}
	for _, c := range d.codes {
		codes[c.Code] = codeView{Code: c, Text: inline(c.Description), Fix: inline(c.Resolution)}
		view.Codes = append(view.Codes, codes[c.Code])
	}
	for _, c := range d.shared {
		view.Shared = append(view.Shared, codes[c])
	}
	if view.Groups, err = groups(t, file, codes); err != nil {
		return err
	}
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, "page.html", view); err != nil {
		return fmt.Errorf("render the docs page: %w", err)
	}
	d.page = page.Bytes()
	return d.renderErrors(pages, view)
}

func (d *Docs) renderErrors(pages *template.Template, view pageView) error {
	d.errorPages = map[string][]byte{}
	shared := map[string]bool{}
	for _, c := range d.shared {
		shared[c] = true
	}
	for _, c := range view.Codes {
		e := errorView{Title: view.Title, Reason: http.StatusText(c.Status), Code: c, Everywhere: shared[c.Code.Code]}
		for _, g := range view.Groups {
			for _, o := range g.Operations {
				if o.canAnswer(c.Code.Code) {
					e.Operations = append(e.Operations, o)
				}
			}
		}
		var page bytes.Buffer
		if err := pages.ExecuteTemplate(&page, "error.html", e); err != nil {
			return fmt.Errorf("render the page of %s: %w", c.Code.Code, err)
		}
		d.errorPages[c.Code.Code] = page.Bytes()
	}
	return nil
}

// groups returns the operations by tag, in the order of the tags and, within one, of the file.
func groups(t *openapi3.T, file tree, codes map[string]codeView) ([]groupView, error) {
	var out []groupView
	at := map[string]int{}
	for _, tag := range t.Tags {
		at[tag.Name] = len(out)
		out = append(out, groupView{ID: anchor(tag.Name), Name: tag.Name, Intro: paragraphs(tag.Description)})
	}
	for _, path := range file.keys("paths") {
		item := t.Paths.Value(path)
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut,
			http.MethodDelete} {
			op := item.GetOperation(method)
			if op == nil {
				continue
			}
			o, err := source{t, file, codes}.operation(path, method, item, op)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			i, ok := at[op.Tags[0]]
			if !ok {
				return nil, fmt.Errorf("%s %s: tag %q is not declared", method, path, op.Tags[0])
			}
			out[i].Operations = append(out[i].Operations, o)
		}
	}
	return out, nil
}

func anchor(name string) string { return strings.ToLower(strings.ReplaceAll(name, " ", "-")) }

// paragraphs splits a description at its blank lines.
func paragraphs(text string) []template.HTML {
	var out []template.HTML
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		out = append(out, inline(p))
	}
	return out
}

// inline escapes text and sets what stands between backticks as code.
func inline(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
		} else {
			b.WriteString(template.HTMLEscapeString(part))
		}
	}
	return template.HTML(b.String()) // every part is escaped above
}
