package render

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// object is a mapping of the document.
type object = map[string]any

// TestTheDocumentSuitsGenerators holds, without the generators, what they need; the acceptance
// tests run them.
func TestTheDocumentSuitsGenerators(t *testing.T) {
	t.Parallel()
	var doc object
	if err := json.Unmarshal(loaded(t).JSON(), &doc); err != nil {
		t.Fatal(err)
	}
	components := doc["components"].(object)
	t.Run("names", func(t *testing.T) { uniqueNames(t, doc["paths"].(object), components) })
	schemas := 0
	for _, part := range []string{"paths", "components"} {
		eachSchema(doc[part], part, func(where string, s object) { schemas++; suits(t, where, s) })
	}
	if schemas < 300 {
		t.Errorf("only %d schemas were looked at", schemas)
	}
	for name, s := range components["schemas"].(object) {
		if strings.HasPrefix(name, "OK") || name == "Created" {
			if required, _ := s.(object)["required"].([]any); !slices.Contains(required, any("data")) {
				t.Errorf("%s: data is always there, but not required", name)
			}
		}
	}
}

// uniqueNames: generators make one type of each schema, body, answer, security scheme and
// operation, whatever section it is in.
func uniqueNames(t *testing.T, paths, components object) {
	seen := map[string]string{}
	for _, name := range []string{"Client", "Server", "Handler", "Invoker", "Option", "Middleware"} {
		seen[strings.ToLower(name)] = "a type of ogen's own"
	}
	note := func(name, where string) {
		key := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
		if other, taken := seen[key]; taken {
			t.Errorf("%s has the name of %s", where, other)
		}
		seen[key] = where
	}
	for _, section := range []string{"schemas", "requestBodies", "responses", "securitySchemes"} {
		for name := range components[section].(object) {
			note(name, section+"/"+name)
		}
	}
	operations := map[string]bool{}
	for path, item := range paths {
		for method, op := range item.(object) {
			if o, ok := op.(object); ok && method != "parameters" {
				id, _ := o["operationId"].(string)
				if id == "" || operations[strings.ToLower(id)] {
					t.Errorf("%s %s: operationId %q is missing or taken", method, path, id)
				}
				operations[strings.ToLower(id)] = true
			}
		}
	}
}

// keywords that hold schemas: by name, in a list, or one.
var (
	schemaMaps  = []string{"properties", "patternProperties", "schemas"}
	schemaLists = []string{"allOf", "anyOf", "oneOf"}
	schemaOnes  = []string{"schema", "items", "additionalProperties", "not"}
)

// eachSchema calls f for every schema below node.
func eachSchema(node any, where string, f func(where string, s object)) {
	switch n := node.(type) {
	case []any:
		for i, v := range n {
			eachSchema(v, fmt.Sprintf("%s/%d", where, i), f)
		}
	case object:
		for key, v := range n {
			if key == "example" || key == "examples" || strings.HasPrefix(key, "x-") {
				continue
			}
			at := where + "/" + key
			switch held := v.(type) {
			case []any:
				for i, s := range held {
					if s, ok := s.(object); ok && slices.Contains(schemaLists, key) {
						f(fmt.Sprintf("%s/%d", at, i), s)
					}
				}
			case object:
				for name, s := range held {
					if s, ok := s.(object); ok && slices.Contains(schemaMaps, key) {
						f(at+"/"+name, s)
					}
				}
				if slices.Contains(schemaOnes, key) {
					f(at, held)
				}
			}
			eachSchema(v, at, f)
		}
	}
}

// suits reports what a generator refuses in a schema or makes a type of that nobody can use.
func suits(t *testing.T, where string, s object) {
	t.Helper()
	types, _ := s["type"].([]any)
	if types = slices.DeleteFunc(slices.Clone(types), func(v any) bool { return v == "null" }); len(types) > 1 {
		t.Errorf("%s: of several types, %v; say oneOf", where, types)
	}
	for _, key := range []string{"const", "enum"} {
		if _, there := s[key]; there && s["type"] == nil {
			t.Errorf("%s: %s without a type", where, key)
		}
	}
	if _, there := s["default"]; there && !strings.Contains(where, "/parameters/") {
		t.Errorf("%s: a default in a body, which clients would send; say it in the description", where)
	}
	isObject := s["type"] == "object" || slices.Contains(types, any("object"))
	if isObject && s["properties"] == nil && s["additionalProperties"] == nil && s["allOf"] == nil {
		t.Errorf("%s: an object of which nothing is known; say additionalProperties: true when it is free-form", where)
	}
}
