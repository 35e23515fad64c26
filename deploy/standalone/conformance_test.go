package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/realmgate/realmgate/gateway/openapi"
)

// conformance checks every answer of a running product against openapi.yaml and records which
// documented answers were seen.
type conformance struct {
	doc                *openapi3.T
	router             routers.Router
	shared, unprovoked []string

	mu   sync.Mutex
	seen map[string]bool // "METHOD path status code"
}

func loadConformance(t *testing.T) *conformance {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Written())
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &conformance{
		doc: doc, router: router, shared: words(t, doc.Extensions["x-realmgate-shared-codes"]),
		unprovoked: words(t, doc.Extensions["x-realmgate-unprovoked-codes"]), seen: map[string]bool{},
	}
}

func words(t *testing.T, extension any) []string {
	t.Helper()
	raw, err := json.Marshal(extension)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// hold fails the test unless the answer is documented: operation, status, code, headers and every
// field of the body.
func (c *conformance) hold(t *testing.T, req *http.Request, a answer) {
	t.Helper()
	if a.header.Get("X-Request-ID") == "" {
		t.Errorf("%s %s: no X-Request-ID", req.Method, req.URL)
	}
	if a.status >= 500 && a.status != http.StatusServiceUnavailable {
		t.Errorf("%s %s: %d: %.300s", req.Method, req.URL, a.status, a.raw)
	}
	route, params, err := c.router.FindRoute(req)
	if err != nil { // no such route or method: answers shared by all operations
		if !slices.Contains(c.shared, a.Code) && a.status >= 400 {
			t.Errorf("%s %s has no documented operation, and answers %d %s", req.Method, req.URL, a.status, a.Code)
		}
		c.note("", "", a)
		return
	}
	c.note(route.Method, route.Path, a)
	if a.status >= 400 && slices.Contains(c.shared, a.Code) {
		return
	}
	documented := route.Operation.Responses.Value(fmt.Sprint(a.status))
	if documented == nil {
		t.Errorf("%s %s: the answer %d %s is not documented", route.Method, route.Path, a.status, a.Code)
		return
	}
	if a.status >= 400 && !slices.Contains(codesOf(t, documented.Value), a.Code) {
		t.Errorf("%s %s: the code %s is not documented for %d", route.Method, route.Path, a.Code, a.status)
	}
	err = openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.raw)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		t.Errorf("%s %s: the answer differs from the documented one: %.800v\nanswer: %.500s", route.Method, route.Path,
			err, a.raw)
	}
}

func (c *conformance) note(method, path string, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[strings.Join([]string{method, path, fmt.Sprint(a.status), a.Code}, " ")] = true
	if a.status >= 400 {
		c.seen[a.Code] = true
	}
}

func codesOf(t *testing.T, r *openapi3.Response) []string {
	t.Helper()
	if r.Extensions["x-codes"] == nil {
		return nil
	}
	return words(t, r.Extensions["x-codes"])
}

// complete fails the test for every documented answer that was never seen.
func (c *conformance) complete(t *testing.T) {
	t.Helper()
	var missing []string
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status, r := range op.Responses.Map() {
				missing = append(missing, c.missing(t, method, path, status, r.Value)...)
			}
		}
	}
	for _, code := range c.shared {
		if !c.seen[code] && !slices.Contains(c.unprovoked, code) {
			missing = append(missing, "any operation: "+code)
		}
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("%d documented answers were never produced:\n%s", len(missing), strings.Join(missing, "\n"))
	}
}

func (c *conformance) missing(t *testing.T, method, path, status string, r *openapi3.Response) []string {
	codes := codesOf(t, r)
	if len(codes) == 0 && status < "400" {
		codes = []string{""}
	}
	var out []string
	for _, code := range codes {
		key := strings.Join([]string{method, path, status, code}, " ")
		if !c.seen[key] && !slices.Contains(c.shared, code) {
			out = append(out, key)
		}
	}
	return out
}
