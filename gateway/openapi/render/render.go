// Package render owns what is made of openapi.yaml: the same document as JSON, a page of
// documentation and a page for each error code. Start reading at Load. It runs when the document
// changes, not in the gateway, which has the results in ../rendered: reading OpenAPI and filling
// templates would make its binary half as large again. A test holds them equal; with -update it
// writes them.
package render

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/realmgate/realmgate/gateway/openapi"
)

// Docs holds the document in its rendered forms. Callers must not change them.
type Docs struct {
	json       []byte
	codes      []Code
	shared     []string
	unprovoked []string
	page       []byte
	errorPages map[string][]byte
}

// Load reads the written document, converts it to JSON and renders its pages. An error means that
// the document is broken, which the package's tests rule out.
func Load() (*Docs, error) {
	t, err := openapi3.NewLoader().LoadFromData(openapi.Written())
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	file, err := parseTree(openapi.Written())
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	d := &Docs{}
	if d.json, err = file.json(file.root, " "); err != nil {
		return nil, fmt.Errorf("convert openapi.yaml to JSON: %w", err)
	}
	var limits []limit
	if err := errors.Join(
		extension(t.Extensions, "x-realmgate-codes", &d.codes),
		extension(t.Extensions, "x-realmgate-shared-codes", &d.shared),
		extension(t.Extensions, "x-realmgate-unprovoked-codes", &d.unprovoked),
		extension(t.Extensions, "x-realmgate-limits", &limits),
	); err != nil {
		return nil, err
	}
	if err := d.render(t, file, limits); err != nil {
		return nil, err
	}
	return d, nil
}

// JSON returns the document for application/json.
func (d *Docs) JSON() []byte { return d.json }

// Page returns the documentation, for text/html. It asks for /docs/style.css and /docs/app.js.
func (d *Docs) Page() []byte { return d.page }

// ErrorPage returns the page of a machine code such as USER_NOT_FOUND, for text/html; false when
// there is no such code. Codes are case-sensitive.
func (d *Docs) ErrorPage(code string) ([]byte, bool) {
	page, ok := d.errorPages[code]
	return page, ok
}

// extension decodes the extension name into v, which must be a pointer. A missing extension is an
// error.
func extension(extensions map[string]any, name string, v any) error {
	value, ok := extensions[name]
	if !ok {
		return fmt.Errorf("openapi.yaml has no %s", name)
	}
	raw, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return fmt.Errorf("openapi.yaml: %s: %w", name, err)
	}
	return nil
}
