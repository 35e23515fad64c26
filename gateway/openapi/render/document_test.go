package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v4"

	"github.com/realmgate/realmgate/gateway/openapi"
)

// Loading takes a while under the race detector; nothing changes what was loaded.
var (
	loadOnce     = sync.OnceValues(Load)
	documentOnce = sync.OnceValues(func() (*openapi3.T, error) {
		d, err := loadOnce()
		if err != nil {
			return nil, err
		}
		return openapi3.NewLoader().LoadFromData(d.JSON())
	})
)

// document is openapi.yaml as a client loads it, from the served JSON.
func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := documentOnce()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func loaded(t *testing.T) *Docs {
	t.Helper()
	d, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// eachOperation calls f for every operation under a name such as "GET /docs".
func eachOperation(t *testing.T, f func(name, path string, item *openapi3.PathItem, op *openapi3.Operation)) {
	t.Helper()
	n := 0
	for path, item := range document(t).Paths.Map() {
		for method, op := range item.Operations() {
			n++
			f(method+" "+path, path, item, op)
		}
	}
	if n < 70 {
		t.Errorf("only %d operations", n)
	}
}

func codesOf(t *testing.T, where string, r *openapi3.Response) []string {
	t.Helper()
	var codes []string
	if err := extension(r.Extensions, "x-codes", &codes); err != nil || len(codes) == 0 {
		t.Errorf("%s: x-codes = %v, %v; want at least one code", where, codes, err)
	}
	return codes
}

func TestTheDocumentIsValidOpenAPI31(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{"YAML": openapi.Written(), "JSON": loaded(t).JSON()} {
		loader := openapi3.NewLoader() // refuses references to other files
		doc, err := loader.LoadFromData(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !doc.IsOpenAPI31OrLater() {
			t.Errorf("%s: version %s, want 3.1", name, doc.OpenAPI)
		}
		if err := doc.Validate(loader.Context); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJSONAndYAMLSayTheSame(t *testing.T) {
	t.Parallel()
	var fromYAML, fromJSON any
	if err := yaml.Unmarshal(openapi.Written(), &fromYAML); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &fromYAML); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(loaded(t).JSON(), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if a, b := fmt.Sprint(fromYAML), fmt.Sprint(fromJSON); a != b {
		t.Error("the JSON form differs from the YAML form")
	}
}

// Readers of the YAML form bound how many aliases they expand, and a time without quotes would lose
// its milliseconds on the way to JSON.
func TestTheYAMLIsPlain(t *testing.T) {
	t.Parallel()
	var root yaml.Node
	if err := yaml.Unmarshal(openapi.Written(), &root); err != nil {
		t.Fatal(err)
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Anchor != "" || n.Kind == yaml.AliasNode || n.ShortTag() == "!!timestamp" {
			t.Errorf("line %d: %q: anchors, aliases and times without quotes are not wanted", n.Line, n.Value)
		}
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			// what a comma in a text without quotes leaves behind
			if n.Content[i+1].Tag == "!!null" && n.Content[i+1].Value == "" {
				t.Errorf("line %d: %q has no value", n.Content[i].Line, n.Content[i].Value)
			}
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(&root)
}

func TestEveryReferenceResolvesAndEveryComponentIsUsed(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := json.Unmarshal(loaded(t).JSON(), &doc); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`"\$ref": "([^"]+)"`).FindAllStringSubmatch(string(loaded(t).JSON()), -1) {
		used[m[1]] = true
	}
	for ref := range used {
		var at any = doc
		for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			mapping, _ := at.(map[string]any)
			at = mapping[step]
		}
		if at == nil {
			t.Errorf("%s points nowhere", ref)
		}
	}
	for kind, components := range doc["components"].(map[string]any) {
		for name := range components.(map[string]any) {
			ref := "#/components/" + kind + "/" + name
			if !used[ref] && kind != "securitySchemes" && !strings.HasPrefix(name, "Shared") {
				t.Errorf("%s is never used", ref)
			}
		}
	}
}

func TestEveryOperationIsDescribed(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	eachOperation(t, func(name, path string, item *openapi3.PathItem, op *openapi3.Operation) {
		if op.OperationID == "" || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
			t.Errorf("%s: operationId %q, summary %q, description %q, tags %v; want all four, and one tag", name, op.OperationID,
				op.Summary, op.Description, op.Tags)
		}
		if other, ok := seen[op.OperationID]; ok {
			t.Errorf("%s and %s share the operationId %s", name, other, op.OperationID)
		}
		seen[op.OperationID] = name
		for _, p := range slices.Concat(item.Parameters, op.Parameters) {
			if p.Value.Description == "" || p.Value.Schema == nil {
				t.Errorf("%s: parameter %s lacks a description or a schema", name, p.Value.Name)
			}
			if p.Value.In == openapi3.ParameterInPath && p.Value.Example == nil {
				t.Errorf("%s: parameter %s has no example", name, p.Value.Name)
			}
		}
		for status, r := range op.Responses.Map() {
			if r.Value.Headers["X-Request-ID"] == nil {
				t.Errorf("%s: answer %s has no X-Request-ID", name, status)
			}
		}
	})
}

func TestEveryErrorAnswerListsItsCodes(t *testing.T) {
	t.Parallel()
	d := loaded(t)
	statuses := map[string]int{}
	for _, c := range d.Codes() {
		statuses[c.Code] = c.Status
	}
	used := map[string]bool{}
	eachOperation(t, func(name, path string, item *openapi3.PathItem, op *openapi3.Operation) {
		for s, r := range op.Responses.Map() {
			if s >= "400" {
				want, _ := strconv.Atoi(s)
				for _, c := range checkCodes(t, statuses, name+" "+s, want, r.Value) {
					used[c] = true
				}
			}
		}
	})
	var shared []string
	for name, r := range document(t).Components.Responses {
		if strings.HasPrefix(name, "Shared") {
			shared = append(shared, checkCodes(t, statuses, name, 0, r.Value)...)
		}
	}
	if got, want := slices.Sorted(slices.Values(shared)),
		slices.Sorted(slices.Values(d.SharedCodes())); !slices.Equal(got, want) {
		t.Errorf("the Shared* answers have the codes %v, x-realmgate-shared-codes says %v", got, want)
	}
	for _, c := range d.Codes() {
		if !used[c.Code] && !slices.Contains(shared, c.Code) {
			t.Errorf("code %s is in the table, but on no answer", c.Code)
		}
		if used[c.Code] && slices.Contains(shared, c.Code) {
			t.Errorf("shared code %s is repeated on an operation", c.Code)
		}
	}
	for _, c := range d.UnprovokedCodes() {
		if !slices.Contains(shared, c) {
			t.Errorf("unprovoked code %s is not shared", c)
		}
	}
}

// checkCodes reports codes of an error answer that are not in the table of codes, or there with
// another status than want (0: any), and returns the answer's codes.
func checkCodes(t *testing.T, statuses map[string]int, where string, want int, r *openapi3.Response) []string {
	t.Helper()
	codes := codesOf(t, where, r)
	for _, c := range codes {
		if statuses[c] == 0 || want != 0 && statuses[c] != want {
			t.Errorf("%s: code %s is in the table with status %d", where, c, statuses[c])
		}
	}
	if r.Extensions["x-codes-issue-3"] != nil {
		var later []string
		if err := extension(r.Extensions, "x-codes-issue-3", &later); err != nil ||
			slices.ContainsFunc(later, func(c string) bool { return !slices.Contains(codes, c) }) {
			t.Errorf("%s: x-codes-issue-3 = %v is no part of x-codes = %v (%v)", where, later, codes, err)
		}
	}
	got := slices.Sorted(maps.Keys(r.Content))
	if slices.Equal(codes, []string{"INVALID_STATE"}) { // for browsers a page
		got = slices.DeleteFunc(got, func(media string) bool { return media == "text/html" })
	}
	if !slices.Equal(got, []string{"application/json", "application/problem+json"}) {
		t.Errorf("%s: media types %v", where, got)
	}
	return codes
}

func TestTheTableOfCodesIsComplete(t *testing.T) {
	t.Parallel()
	seen, before := map[string]bool{}, 0
	for _, c := range loaded(t).Codes() {
		if c.Message == "" || c.Description == "" || c.Resolution == "" || http.StatusText(c.Status) == "" || c.Status < 400 {
			t.Errorf("%s: %+v is not complete", c.Code, c)
		}
		if seen[c.Code] || c.Status < before {
			t.Errorf("%s stands twice, or not in the order of the statuses", c.Code)
		}
		seen[c.Code], before = true, c.Status
	}
}

func TestEveryExampleFollowsItsSchema(t *testing.T) {
	t.Parallel()
	eachOperation(t, func(name, path string, item *openapi3.PathItem, op *openapi3.Operation) {
		if op.RequestBody != nil {
			hasValidExample(t, name+" body", op.RequestBody.Value.Content.Get("application/json"))
		}
		for status, r := range op.Responses.Map() {
			if media := r.Value.Content.Get("application/json"); status < "400" && media != nil && media.Schema != nil {
				hasValidExample(t, name+" "+status, media)
			}
		}
		for _, p := range slices.Concat(item.Parameters, op.Parameters) {
			if p.Value.Example != nil {
				valid(t, name+" parameter "+p.Value.Name, p.Value.Schema, p.Value.Example)
			}
		}
	})
	for _, name := range []string{"Error", "Problem"} {
		schema := document(t).Components.Schemas[name]
		valid(t, name, schema, schema.Value.Example)
	}
}

// example returns one example of a media type, nil when it has none.
func example(m *openapi3.MediaType) any {
	for _, e := range m.Examples {
		return e.Value.Value
	}
	return m.Example
}

func hasValidExample(t *testing.T, where string, media *openapi3.MediaType) {
	t.Helper()
	if example(media) == nil {
		t.Errorf("%s has no example", where)
	}
	if media.Example != nil {
		valid(t, where, media.Schema, media.Example)
	}
	for key, e := range media.Examples {
		valid(t, where+" example "+key, media.Schema, e.Value.Value)
	}
}

func valid(t *testing.T, where string, schema *openapi3.SchemaRef, value any) {
	t.Helper()
	if err := schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020(),
		openapi3.EnableFormatValidation()); err != nil {
		t.Errorf("%s: %v", where, err)
	}
}

// The envelope's schemas are strict: an answer that says more, less or something else than its
// operation does not pass.
func TestSuccessSchemasAreStrict(t *testing.T) {
	t.Parallel()
	eachOperation(t, func(name, path string, item *openapi3.PathItem, op *openapi3.Operation) {
		for status, r := range op.Responses.Map() {
			media := r.Value.Content.Get("application/json")
			if status >= "400" || media == nil || media.Schema == nil || !strings.HasPrefix(path, "/api/") {
				continue
			}
			for what, spoil := range map[string]func(map[string]any){
				"an unknown field":     func(m map[string]any) { m["extra"] = 1 },
				"another message":      func(m map[string]any) { m["message"] = "Done" },
				"another status":       func(m map[string]any) { m["statusCode"] = 299 },
				"no data":              func(m map[string]any) { delete(m, "data") },
				"data of another kind": func(m map[string]any) { m["data"] = "text" },
				"data with more":       func(m map[string]any) { spoilData(m) },
			} {
				raw, err := json.Marshal(example(media))
				if err != nil {
					t.Fatal(err)
				}
				var value map[string]any
				if err := json.Unmarshal(raw, &value); err != nil {
					t.Fatal(err)
				}
				spoil(value)
				if media.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()) == nil {
					t.Errorf("%s %s: an answer with %s passes", name, status, what)
				}
			}
		}
	})
}

func spoilData(m map[string]any) {
	switch data := m["data"].(type) {
	case map[string]any:
		data["surplus_field"] = true
	case []any:
		data[0].(map[string]any)["surplus_field"] = true
	default:
		m["data"] = map[string]any{}
	}
}

// The contract's own paths, so that none is lost while the file is edited.
func TestTheContractIsCovered(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/contract_routes.txt")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	eachOperation(t, func(name, path string, item *openapi3.PathItem, op *openapi3.Operation) { have[name] = true })
	for route := range strings.SplitSeq(strings.TrimSpace(string(want)), "\n") {
		if !have[route] {
			t.Errorf("%s is not in openapi.yaml", route)
		}
		delete(have, route)
	}
	for route := range have {
		t.Errorf("%s is in openapi.yaml, but not in testdata/contract_routes.txt", route)
	}
}
