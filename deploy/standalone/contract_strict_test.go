package main

import (
	"slices"
	"strings"
)

// contractStrict sends every operation below /api/v1 what it does not know.
func contractStrict(r *running) {
	t, admin := r.t, r.admin()
	operations := r.spec.operations(t, "VALIDATION_ERROR")
	for path, item := range r.spec.doc.Paths.Map() {
		for method := range item.Operations() {
			o := operation{method, exampleIDs.Replace(path)}
			if strings.HasPrefix(path, "/api/v1/") && !slices.Contains(operations, o) {
				t.Errorf("%s %s refuses parameters that it does not know, but VALIDATION_ERROR is not documented", method, path)
			}
		}
	}
	for _, o := range operations {
		for query, at := range map[string]string{"?colour=blue": `"/colour"`, "?realm_id=": `"/realm_id"`} {
			a := r.do(o.method, o.path+query, admin.Token, nil).want(t, o.method+" "+o.path+query, 400, "VALIDATION_ERROR")
			if !strings.Contains(string(a.raw), at) {
				t.Errorf("%s %s%s: %s does not name the parameter", o.method, o.path, query, a.raw)
			}
		}
	}
	r.send(request{method: "PUT", path: "/api/v1/vault/keys/k", token: admin.Token, body: map[string]any{"value": "v"}, header: map[string]string{"If-Match": `"1"`}}).
		want(t, "a condition", 400, "VALIDATION_ERROR")
}
