package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/realmgate/realmgate/gateway/openapi"
	"github.com/realmgate/realmgate/pkg/realm"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// examplePath fills the parameters of a template.
func examplePath(template string) string {
	return strings.NewReplacer("{id}", strings.Repeat("a", 24), "{tid}", strings.Repeat("b", 24), "{key}", "k", "{code}",
		"NOT_FOUND", "{asset}", "app.js", "{name}", "acme").Replace(template)
}

func TestEveryRouteRefusesParametersThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	root := d.users.signIn(t, func(s *sessionstate.State) { s.Admin = true })
	realm := strings.Repeat("a", 24)
	for template, e := range endpoints(newRouter(routeTable())) {
		for method, rt := range e.byMethod {
			if rt.rate != noClass || rt.access == anyRealm {
				continue
			}
			send := func(query string) reply {
				return d.do(ask{method: method, path: examplePath(template) + query, bearer: root.token})
			}
			unknown, page := 200, rt.traits&webPage != 0
			if rt.inAPI() {
				unknown = 400
			}
			for query, want := range map[string]int{
				"": 0, "?": 0, "?&&": 0, "?realm_id=" + realm: 0, "?realm_id=" + strings.ToUpper(realm): 0,
				"?colour=blue": unknown, "?realmId=" + realm: unknown, "?Realm_id=" + realm: unknown,
				"?realm_id%5B%5D=" + realm: unknown, "?x": unknown, "?=1": unknown,
				"?realm_id=": 400, "?realm_id": 400, "?realm_id=xyz": 400, "?realm_id=" + realm + "&realm_id=" + realm: 400,
			} {
				if want == 200 || page {
					want = 0
				}
				if page && rt.inAPI() && strings.Contains(query, "?") {
					continue // a provider adds what it likes to the address of its callback
				}
				if r := send(query); want == 400 &&
					(r.status != 400 || r.code != "VALIDATION_ERROR" && method != http.MethodHead) || want == 0 && r.status >= 400 {
					t.Errorf("%s %s%s: got %d %s, want %d (0: no failure)", method, template, query, r.status, r.raw, want)
				}
			}
		}
	}
	for _, s := range []*fakeService{d.users.fakeService, d.vault, d.activity} {
		for _, r := range s.got() {
			if strings.HasPrefix(r.target, apiPrefix) &&
				(strings.Contains(r.target, "colour") || strings.HasSuffix(r.target, "realm_id=")) {
				t.Errorf("%s %s reached %s", r.method, r.target, s.name)
			}
		}
	}
}

func TestARefusedParameterIsNamed(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("p%d=1", i))
	}
	for query, want := range map[string][]string{
		"?search=ada&limit=1":           {`"/search"`},
		"?a=1&b=2":                      {`"/a"`, `"/b"`},
		"?a%2Fb%7Ec=1":                  {`"/a~1b~0c"`},
		"?%ff=1":                        {`"/` + "\uFFFD" + `"`},
		"?" + strings.Repeat("n", 5000): {`"/` + strings.Repeat("n", maxParamName) + `"`},
		"?" + strings.Join(many, "&"):   {`"/p0"`, `"/p19"`},
		"?limit=1&limit=2":              {`"/limit"`, "more than once"},
	} {
		r := d.do(ask{method: "GET", path: "/api/v1/projects" + query, bearer: ada.token})
		for _, part := range want {
			if r.status != 400 || r.code != "VALIDATION_ERROR" || !strings.Contains(r.raw, part) ||
				strings.Contains(r.raw, `"/p20"`) {
				t.Errorf("%.40s: got %d %s, want VALIDATION_ERROR at %s", query, r.status, r.raw, part)
			}
		}
	}
	// Who is calling is asked first, and the body last.
	if r := d.do(ask{method: "GET", path: "/api/v1/projects?search=ada"}); r.status != 401 {
		t.Errorf("nobody: got %d, want 401", r.status)
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/users?search=ada", bearer: ada.token}); r.status != 403 {
		t.Errorf("not an admin: got %d, want 403", r.status)
	}
	if r := d.do(ask{method: "PUT", path: "/api/v1/vault/keys/k?realmId=x", bearer: ada.token,
		body: "{"}); r.status != 400 || !strings.Contains(r.raw, `"/realmId"`) {
		t.Errorf("with a broken body: got %d %s", r.status, r.raw)
	}
}

// TestTheRouteTableKnowsTheDocumentedParameters holds the table against the OpenAPI document, in
// both directions.
func TestTheRouteTableKnowsTheDocumentedParameters(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Written())
	if err != nil {
		t.Fatal(err)
	}
	known := endpoints(newRouter(routeTable()))
	for path, item := range doc.Paths.Map() {
		if !strings.HasPrefix(path, apiPrefix) {
			continue
		}
		for method, op := range item.Operations() {
			documented := map[string]bool{realm.Parameter: true}
			for _, p := range slices.Concat(item.Parameters, op.Parameters) {
				if p.Value.In == openapi3.ParameterInQuery {
					documented[p.Value.Name] = true
				}
			}
			rt := known[path].byMethod[method]
			for _, name := range rt.known {
				if !documented[name] {
					t.Errorf("%s %s knows %s, which is not documented", method, path, name)
				}
				delete(documented, name)
			}
			for name := range documented {
				t.Errorf("%s %s: %s is documented, but the route refuses it", method, path, name)
			}
		}
	}
}

func TestAPreconditionThatNobodyEvaluatesIsRefused(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	list, date := "/api/v1/vault/keys", "Wed, 21 Oct 2026 07:28:00 GMT"
	for _, c := range []struct {
		method, path, name, value string
		status                    int
	}{
		{"GET", list, "If-Match", `"a"`, 400}, {"GET", list, "if-match", `W/"a"`, 400}, {"HEAD", list, "If-Match", `*`, 400},
		{"GET", list, "If-Match", "", 400}, {"GET", list, "If-Unmodified-Since", date, 400},
		{"DELETE", "/api/v1/vault", "If-Match", "*", 400},
		{"DELETE", "/api/v1/vault", "If-None-Match", `"a"`, 400},
		{"DELETE", "/api/v1/vault", "If-Unmodified-Since", date, 400},
		{"PATCH", "/api/v1/users/" + ada.userID, "If-Match", `"1"`, 400},
		{"POST", "/api/v1/auth/tokens", "If-None-Match", "*", 400},
		// What browsers and proxies add by themselves changes nothing, and is answered in full.
		{"GET", list, "If-None-Match", `"a"`, 200}, {"HEAD", list, "If-None-Match", "*", 200},
		{"GET", list, "If-Modified-Since", date, 200}, {"GET", list, "If-Range", `"a"`, 200},
		{"GET", "/docs", "If-Match", "*", 200},
	} {
		r := d.do(ask{method: c.method, path: c.path, bearer: ada.token, header: map[string]string{c.name: c.value}})
		if r.status != c.status || r.status == 400 && c.method != "HEAD" &&
			(r.code != "VALIDATION_ERROR" || !strings.Contains(strings.ToLower(r.raw), `"/`+strings.ToLower(c.name)+`"`)) {
			t.Errorf("%s %s with %s: %q: got %d %s, want %d", c.method, c.path, c.name, c.value, r.status, r.raw, c.status)
		}
	}
	for _, r := range d.vault.got() {
		if r.method == "DELETE" {
			t.Errorf("%s %s was carried out", r.method, r.target)
		}
	}
}
