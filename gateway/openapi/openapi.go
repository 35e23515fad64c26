// Package openapi owns the public HTTP contract as a document: openapi.yaml, written by hand, and
// what package render has made of it, a page of documentation and a page for each error code. Start
// reading at Load; openapi.yaml itself explains its extensions at its top.
//
// The package knows no HTTP framework: the gateway mounts the bytes. After a change of openapi.yaml
// or of render's templates run
//
//	go test ./openapi/render -run Rendered -update
package openapi

import (
	"embed"
	"encoding/json"
	"fmt"
)

var (
	//go:embed openapi.yaml
	written []byte
	//go:embed rendered/openapi.json
	asJSON []byte
	//go:embed rendered/page.html
	page []byte
	//go:embed rendered/errors.json
	errorPages []byte
	//go:embed assets/style.css assets/app.js
	assets embed.FS
)

// ContentSecurityPolicy is the policy that the pages work under: nothing from another host, no
// inline style or script.
const ContentSecurityPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Docs holds the document in its served forms. It never changes, and callers must not change the
// slices that it returns.
type Docs struct{ errorPages map[string]string }

// Load returns the embedded document. An error means that what was rendered is broken, which the
// tests of package render rule out.
func Load() (*Docs, error) {
	d := &Docs{}
	if err := json.Unmarshal(errorPages, &d.errorPages); err != nil {
		return nil, fmt.Errorf("rendered/errors.json: %w", err)
	}
	return d, nil
}

// Written returns openapi.yaml.
func Written() []byte { return written }

// YAML returns the document as it was written, for application/yaml.
func (d *Docs) YAML() []byte { return written }

// JSON returns the same document for application/json.
func (d *Docs) JSON() []byte { return asJSON }

// Page returns the documentation, for text/html. It asks for /docs/style.css and /docs/app.js, see
// Asset.
func (d *Docs) Page() []byte { return page }

// ErrorPage returns the page of a machine code such as USER_NOT_FOUND, for text/html; false when
// there is no such code. Codes are case-sensitive.
func (d *Docs) ErrorPage(code string) ([]byte, bool) {
	page, ok := d.errorPages[code]
	return []byte(page), ok
}

// Asset returns a file that the pages ask for, by its last path element ("style.css", "app.js"),
// and its content type; false when there is no such file.
func (d *Docs) Asset(name string) (content []byte, contentType string, ok bool) {
	switch name {
	case "style.css":
		contentType = "text/css; charset=utf-8"
	case "app.js":
		contentType = "text/javascript; charset=utf-8"
	default:
		return nil, "", false
	}
	content, err := assets.ReadFile("assets/" + name)
	return content, contentType, err == nil
}
