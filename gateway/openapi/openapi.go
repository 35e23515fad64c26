// Package openapi owns the public HTTP contract as a document: openapi.yaml, written by hand, and what is rendered from it, a page of
// documentation and a page for each error code. Start reading at Load; openapi.yaml itself explains its extensions at its top.
//
// The package knows no HTTP framework: the gateway mounts the bytes. Everything is rendered once, by Load.
package openapi

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed openapi.yaml
var written []byte

// ContentSecurityPolicy is the policy that the pages work under: nothing from another host, no inline style or script.
const ContentSecurityPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Docs holds the document in its served forms. It never changes, and callers must not change the slices that it returns.
type Docs struct {
	json       []byte
	codes      []Code
	shared     []string
	unprovoked []string
	page       []byte
	errorPages map[string][]byte
}

// Load reads the embedded document, converts it to JSON and renders its pages. An error means that the document is broken, which the
// package's tests rule out.
func Load() (*Docs, error) {
	t, err := openapi3.NewLoader().LoadFromData(written)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	file, err := parseTree(written)
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

// YAML returns the document as it was written, for application/yaml.
func (d *Docs) YAML() []byte { return written }

// JSON returns the same document for application/json.
func (d *Docs) JSON() []byte { return d.json }

// Page returns the documentation, for text/html. It asks for /docs/style.css and /docs/app.js, see Asset.
func (d *Docs) Page() []byte { return d.page }

// ErrorPage returns the page of a machine code such as USER_NOT_FOUND, for text/html; false when there is no such code. Codes are
// case-sensitive.
func (d *Docs) ErrorPage(code string) ([]byte, bool) {
	page, ok := d.errorPages[code]
	return page, ok
}

// extension decodes the extension name into v, which must be a pointer. A missing extension is an error.
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
