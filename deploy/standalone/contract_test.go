package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestContract drives every documented operation through running products and checks each answer
// against openapi.yaml. At the end every documented answer must have been seen. The products differ
// only in settings.
func TestContract(t *testing.T) {
	spec := loadConformance(t)
	t.Run("every area", func(t *testing.T) {
		t.Run("credentials", func(t *testing.T) { t.Parallel(); contractCredentials(product(t, spec)) })
		t.Run("expired tokens", func(t *testing.T) {
			t.Parallel()
			contractExpired(product(t, spec, "ACCESS_TOKEN_TTL=1s", "REFRESH_TOKEN_TTL=1s"))
		})
		t.Run("sign-in", func(t *testing.T) { t.Parallel(); contractSignIn(product(t, spec)) })
		t.Run("devices", func(t *testing.T) { t.Parallel(); contractDevices(product(t, spec)) })
		t.Run("expired devices",
			func(t *testing.T) { t.Parallel(); contractExpiredDevice(product(t, spec, "DEVICE_CODE_TTL=1s")) })
		t.Run("profiles", func(t *testing.T) { t.Parallel(); contractProfiles(product(t, spec)) })
		t.Run("sessions", func(t *testing.T) { t.Parallel(); contractSessions(product(t, spec)) })
		t.Run("free tier", func(t *testing.T) {
			t.Parallel()
			contractFreeTier(product(t, spec, "FREE_TIER_SERVERS=eu-west:DE:Frankfurt:3"))
		})
		t.Run("streams", func(t *testing.T) { t.Parallel(); contractStreams(product(t, spec)) })
		t.Run("vault", func(t *testing.T) { t.Parallel(); contractVault(product(t, spec, "VAULT_QUOTA_MB=1")) })
		t.Run("activity and realms", func(t *testing.T) { t.Parallel(); contractActivity(product(t, spec)) })
		t.Run("unknown parameters", func(t *testing.T) { t.Parallel(); contractStrict(product(t, spec)) })
		t.Run("unknown fields", func(t *testing.T) {
			t.Parallel()
			contractWarnings(product(t, spec, "FREE_TIER_SERVERS=eu-west:DE:Frankfurt:3"))
		})
		t.Run("confirmation", func(t *testing.T) { t.Parallel(); contractConfirmation(t, spec) })
		t.Run("passkeys", func(t *testing.T) { t.Parallel(); contractPasskeys(t, spec) })
		t.Run("other providers", func(t *testing.T) { t.Parallel(); contractProviders(t, spec) })
		t.Run("console", func(t *testing.T) { t.Parallel(); contractConsole(t, spec) })
		t.Run("documents and shared errors", func(t *testing.T) { t.Parallel(); contractShared(product(t, spec)) })
		t.Run("auth tokens",
			func(t *testing.T) { t.Parallel(); contractTokens(product(t, spec, "AUTH_TOKEN_LIMIT=4")) })
		t.Run("second factor", func(t *testing.T) { t.Parallel(); contractSecondFactor(product(t, spec)) })
		t.Run("no second factor any more",
			func(t *testing.T) { t.Parallel(); contractSecondFactorOff(product(t, spec, "TWOFACTOR_LOGIN_TTL=2s")) })
		t.Run("mail", func(t *testing.T) { t.Parallel(); contractMail(t, spec) })
		t.Run("a change of the address", func(t *testing.T) { t.Parallel(); contractEmailTaken(product(t, spec)) })
		t.Run("administration", func(t *testing.T) { t.Parallel(); contractAdmin(product(t, spec)) })
		t.Run("administration with a second factor",
			func(t *testing.T) { t.Parallel(); contractAdminFactor(product(t, spec, "ADMIN_REQUIRE_2FA=true")) })
		t.Run("invited only", func(t *testing.T) {
			t.Parallel()
			contractInvite(product(t, spec, "INVITE_REQUIRED=true", "INVITE_CODES=open-sesame"))
		})
		t.Run("a database that is away", func(t *testing.T) { t.Parallel(); contractUnavailable(t, spec) })
		t.Run("the edge", func(t *testing.T) { t.Parallel(); contractEdge(product(t, spec, "READ_TIMEOUT=1s")) })
		t.Run("a closed door",
			func(t *testing.T) { t.Parallel(); contractClosed(product(t, spec, "SIGNUP_ENABLED=false")) })
	})
	spec.complete(t)
}

// product starts a product whose answers are checked against spec.
func product(t *testing.T, spec *conformance, environ ...string) *running {
	r := start(t, append(slices.Clone(noLimits), environ...)...)
	r.spec = spec
	return r
}

const (
	nobody = "000000000000000000000000"
	realm  = "507f1f77bcf86cd799439011"
)

// operation is a documented method and path, with its parameters filled in.
type operation struct{ method, path string }

// exampleIDs fills in the parameters of documented paths.
var exampleIDs = strings.NewReplacer("{id}", nobody, "{tid}", nobody, "{sid}", nobody, "{key}", "some-key",
	"{name}", "acme")

// operations lists every documented operation that has an answer with the given machine code.
func (c *conformance) operations(t *testing.T, code string) []operation {
	var out []operation
	for _, path := range slices.Sorted(maps.Keys(c.doc.Paths.Map())) {
		for method, op := range c.doc.Paths.Value(path).Operations() {
			for _, r := range op.Responses.Map() {
				if slices.Contains(codesOf(t, r.Value), code) {
					out = append(out, operation{method, exampleIDs.Replace(path)})
				}
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("no operation documents %s", code)
	}
	return out
}

// isPublicRefusal reports whether an operation answers 401 for another reason than a missing bearer
// token.
func isPublicRefusal(o operation) bool {
	return slices.Contains([]string{"/api/v1/users/auth/refresh", "/api/v1/users/auth/2fa/verify",
		"/api/v1/users/auth/login", "/api/v1/auth/exchange", "/api/v1/auth/link",
		"/api/v1/users/auth/passkeys/login/finish", "/console/session",
		"/console/session/refresh"}, o.path)
}

func contractFreeTier(r *running) {
	t, admin := r.t, r.admin()
	u := r.user("erin")
	setup := "/api/v1/users/me/retry-setup"
	r.do("POST", setup, u.Token, map[string]any{"region": "nowhere"}).want(t, "unknown region", 400, "VALIDATION_ERROR")
	r.do("POST", setup, u.Token, map[string]any{"region": "eu-west"}).want(t, "setup", 200, "")
	r.do("POST", setup, u.Token, "").want(t, "setup again", 200, "")
	r.get("/api/v1/users/me/free-tier-status", u.Token).want(t, "status", 200, "")
	for _, kind := range []string{"containers", "projects"} {
		list := r.get("/api/v1/"+kind+"/", u.Token).want(t, kind, 200, "")
		var data struct{ Containers, Projects []struct{ ID string } }
		list.into(t, &data)
		items := append(data.Containers, data.Projects...)
		if len(items) != 1 {
			t.Fatalf("%d %s after the setup, want 1: %s", len(items), kind, list.raw)
		}
		code := strings.ToUpper(strings.TrimSuffix(kind, "s")) + "_NOT_FOUND"
		r.get("/api/v1/"+kind+"/"+items[0].ID, u.Token).want(t, kind, 200, "")
		r.get("/api/v1/"+kind+"/"+items[0].ID, admin.Token).want(t, "somebody else's "+kind, 404, code)
		r.get("/api/v1/"+kind+"/xyz", u.Token).want(t, kind+": no id", 400, "INVALID_ID_FORMAT")
		r.get("/api/v1/"+kind+"/?limit=0", u.Token).want(t, kind+": bad page", 400, "VALIDATION_ERROR")
	}
	server := map[string]any{"name": "extra-1", "region": "us-east", "country": "US", "city": "Ashburn", "capacity": 2}
	r.do("POST", "/api/v1/servers", admin.Token, server).want(t, "add a server", 201, "")
	r.do("POST", "/api/v1/servers", admin.Token, server).want(t, "add it again", 409, "SERVER_EXISTS")
	r.do("POST", "/api/v1/servers", admin.Token, map[string]any{"region": 7}).want(t, "a bad server", 400,
		"VALIDATION_ERROR")
	r.do("POST", "/api/v1/servers", u.Token, server).want(t, "add one as a user", 403, "INSUFFICIENT_PERMISSIONS")
	r.get("/api/v1/servers", admin.Token).want(t, "list servers", 200, "")
	r.get("/api/v1/servers", u.Token).want(t, "list servers as a user", 403, "INSUFFICIENT_PERMISSIONS")
}

func contractVault(r *running) {
	t, u := r.t, r.user("vera")
	item := "/api/v1/vault/keys/some-key"
	for _, method := range []string{"PUT", "PATCH"} {
		path := item + "-" + method
		r.do(method, path, u.Token, map[string]any{"value": "a\x00é", "metadata": map[string]any{"n": 1}}).want(t,
			"create", 201, "")
		r.do(method, path+"?realm_id="+strings.ToUpper(realm), u.Token, map[string]any{"value": ""}).want(t,
			"create in a realm", 201, "")
		r.do(method, path, u.Token, map[string]any{"value": "b"}).want(t, "update", 200, "")
		r.do(method, path, u.Token, map[string]any{"value": 1}).want(t, "no string", 400, "VALIDATION_ERROR")
		r.do(method, path, u.Token, map[string]any{"value": strings.Repeat("x", 1<<20)}).want(t, "over the quota", 413,
			"VAULT_LIMIT_EXCEEDED")
	}
	r.get("/api/v1/vault/keys", u.Token).want(t, "list", 200, "")
	r.get(item+"-PUT", u.Token).want(t, "get", 200, "")
	r.get("/api/v1/vault/stats?realm_id="+realm, u.Token).want(t, "stats", 200, "")
	for _, o := range []operation{{"GET", "/api/v1/vault/keys"}, {"GET", item}, {"PUT", item}, {"PATCH", item},
		{"DELETE", item}, {"GET", "/api/v1/vault/stats"}, {"DELETE", "/api/v1/vault"}} {
		body := any(nil)
		if o.method == "PUT" || o.method == "PATCH" {
			body = map[string]any{"value": "x"}
		}
		r.do(o.method, o.path+"?realm_id=xyz", u.Token, body).want(t, o.method+" "+o.path+" with no realm id", 400,
			"VALIDATION_ERROR")
		r.send(request{method: o.method, path: o.path + "?realm_id=" + realm, token: u.Token, body: body,
			host: "ffffffffffffffffffffffff.localhost"}).
			want(t, o.method+" "+o.path+" with two realms", 400, "VALIDATION_ERROR")
	}
	contractBatch(r, u.Token)
	contractExport(r, u.Token)
	r.get(item, u.Token).want(t, "get what is not there", 404, "VAULT_KEY_NOT_FOUND")
	r.do("DELETE", item, u.Token, nil).want(t, "delete what is not there", 404, "VAULT_KEY_NOT_FOUND")
	contractVersions(r, u, item)
	r.do("DELETE", item+"-PUT", u.Token, nil).want(t, "delete", 200, "")
	r.do("DELETE", "/api/v1/vault/", u.Token, nil).want(t, "delete the folder of the keys", 404, "NOT_FOUND")
	r.do("DELETE", "/api/v1/vault", u.Token, nil).want(t, "clear", 200, "")
}

// contractVersions drives conditions, versions and the trash. The key of the item does not exist.
func contractVersions(r *running, u account, item string) {
	t := r.t
	given := func(method, path, name, value string) answer {
		var body any
		if method == "PUT" || method == "PATCH" {
			body = map[string]any{"value": "w", "ttl": "1h"}
		}
		return r.send(request{method: method, path: path, token: u.Token, body: body, header: map[string]string{name: value}})
	}
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		given(method, item, "If-Match", "*").want(t, method+" if the absent key exists", 412, "PRECONDITION_FAILED")
	}
	etag := r.do("PUT", item, u.Token, map[string]any{"value": "v"}).want(t, "put", 201, "").header.Get("ETag")
	given("GET", item, "If-None-Match", etag).want(t, "read what is known", 304, "")
	given("GET", item, "If-Match", `"other"`).want(t, "read another version", 412, "PRECONDITION_FAILED")
	given("GET", item, "If-Match", `other`).want(t, "a malformed tag", 400, "VALIDATION_ERROR")
	a := given("PUT", item, "If-None-Match", "*").want(t, "create what exists", 412, "PRECONDITION_FAILED")
	if got := a.header.Get("ETag"); got != etag {
		t.Errorf("412: got ETag %s, want %s", got, etag)
	}
	given("PUT", item, "If-Match", etag).want(t, "overwrite", 200, "")
	r.get(item+"?version=1", u.Token).want(t, "an earlier version", 200, "")
	r.get(item+"?version=9", u.Token).want(t, "a version that is not there", 404, "VAULT_VERSION_NOT_FOUND")
	r.get(item+"?version=0", u.Token).want(t, "no version", 400, "VALIDATION_ERROR")
	r.get(item+"/versions", u.Token).want(t, "versions", 200, "")
	r.get(item+"-none/versions", u.Token).want(t, "versions of an absent key", 404, "VAULT_KEY_NOT_FOUND")
	r.get(item+"/versions?realm_id=xyz", u.Token).want(t, "versions in no realm", 400, "VALIDATION_ERROR")
	r.do("DELETE", item+"?recoverable=maybe", u.Token, nil).want(t, "perhaps recoverable", 400, "VALIDATION_ERROR")
	r.do("DELETE", item+"?recoverable=true", u.Token, nil).want(t, "move to the trash", 200, "")
	trash, restore := "/api/v1/vault/trash", item+"/restore"
	r.get(trash, u.Token).want(t, "the trash", 200, "")
	given("POST", restore, "If-Match", "*").want(t, "restore if it exists", 412, "PRECONDITION_FAILED")
	r.do("POST", restore, u.Token, "").want(t, "restore from the trash", 200, "")
	r.do("POST", restore, u.Token, map[string]any{"version": 1}).want(t, "restore a version", 200, "")
	r.do("POST", restore, u.Token, map[string]any{"version": 99}).want(t, "restore no version", 404,
		"VAULT_VERSION_NOT_FOUND")
	r.do("POST", restore, u.Token, map[string]any{"version": "1"}).want(t, "restore a text", 400, "VALIDATION_ERROR")
	r.do("POST", item+"-none/restore", u.Token, nil).want(t, "restore an absent key", 404, "VAULT_KEY_NOT_FOUND")
	big := map[string]any{"value": strings.Repeat("x", 1<<19)}
	r.do("PUT", item+"-big", u.Token, big).want(t, "half of the quota", 201, "")
	r.do("DELETE", item+"-big?recoverable=true", u.Token, nil).want(t, "to the trash", 200, "")
	r.do("PUT", item+"-big2", u.Token, big).want(t, "half of the quota again", 201, "")
	r.do("POST", item+"-big/restore", u.Token, nil).want(t, "restore over the quota", 413, "VAULT_LIMIT_EXCEEDED")
	r.do("DELETE", trash+item[len("/api/v1/vault/keys"):]+"-big", u.Token, nil).want(t, "remove from the trash", 200, "")
	r.do("DELETE", trash+"/none", u.Token, nil).want(t, "remove what is not there", 404, "VAULT_KEY_NOT_FOUND")
	r.do("DELETE", "/api/v1/vault?recoverable=true&realm_id="+realm, u.Token, nil).want(t, "clear to the trash", 200, "")
	r.do("DELETE", trash, u.Token, nil).want(t, "empty the trash", 200, "")
	for _, o := range []operation{{"GET", trash}, {"DELETE", trash}, {"DELETE", trash + "/k"}} {
		r.do(o.method, o.path+"?realm_id=xyz", u.Token, nil).want(t, o.path+" in no realm", 400, "VALIDATION_ERROR")
	}
	r.do("DELETE", item, u.Token, nil).want(t, "delete for good", 200, "")
	r.do("DELETE", item+"-big2", u.Token, nil).want(t, "delete for good", 200, "")
}

func contractBatch(r *running, token string) {
	t, path := r.t, "/api/v1/vault/batch?realm_id="+nobody
	batch := func(atomic bool, operations ...map[string]any) map[string]any {
		return map[string]any{"atomic": atomic, "operations": operations}
	}
	put := map[string]any{"op": "put", "key": "b", "value": "v", "metadata": map[string]any{"n": 1}, "ttl": "1h"}
	get, absent := map[string]any{"op": "get", "key": "b"}, map[string]any{"op": "delete", "key": "absent"}
	done := r.do("POST", path, token, batch(true, put, get)).want(t, "batch", 200, "")
	r.do("POST", path, token, batch(false, put, absent)).want(t, "a batch that is not atomic", 200, "")
	r.do("POST", path, token, batch(true, put, absent)).want(t, "a batch that fails", 409, "BATCH_FAILED")
	r.do("POST", path, token, batch(true)).want(t, "no operations", 400, "VALIDATION_ERROR")
	r.do("POST", path+"0", token, batch(true, get)).want(t, "a batch with no realm id", 400, "VALIDATION_ERROR")
	eventually(t, "each operation is in the log", func() bool {
		a := r.get("/api/v1/users/auth/activity?realm_id="+nobody, token).want(t, "log", 200, "")
		var records []struct {
			Method, Path string
			Status       int    `json:"status_code"`
			RequestID    string `json:"request_id"`
		}
		a.into(t, &records)
		var got []string
		for _, record := range records {
			if record.RequestID == done.header.Get("X-Request-ID") {
				got = append(got, fmt.Sprint(record.Method, record.Path, record.Status))
			}
		}
		want := []string{"POST/api/v1/vault/batch200", "GET/api/v1/vault/keys/b200", "PUT/api/v1/vault/keys/b201"}
		if len(got) == len(want) && !slices.Equal(got, want) {
			t.Errorf("records of the batch: got %v, want %v", got, want)
		}
		return len(got) == len(want)
	})
}

func contractExport(r *running, token string) {
	t, path := r.t, "/api/v1/vault/export"
	a := r.get(path, token).want(t, "export", 200, "")
	lines := strings.Split(strings.TrimSpace(string(a.raw)), "\n")
	want := fmt.Sprintf(`{"complete":true,"count":%d}`, len(lines)-1)
	if got := lines[len(lines)-1]; got != want || len(lines) < 2 || !strings.Contains(lines[0], `"value":`) {
		t.Errorf("export: got %s, want items with values and %s", a.raw, want)
	}
	if a := r.get(path+"?prefix=none", token).want(t, "an export of nothing", 200, ""); string(a.raw) !=
		`{"complete":true,"count":0}`+"\n" {
		t.Errorf("an export of nothing: got %s", a.raw)
	}
	r.get(path+"?realm_id=xyz", token).want(t, "an export of no realm", 400, "VALIDATION_ERROR")
}

func contractActivity(r *running) {
	t, u := r.t, r.user("alan")
	r.send(request{method: "GET", path: "/api/v1/vault/stats", token: u.Token, host: realm + ".localhost"}).want(t,
		"a request on a realm's host", 200, "")
	log := "/api/v1/users/auth/activity"
	eventually(t, "the request is in the log", func() bool {
		a := r.get(log+"?realm_id="+realm, u.Token).want(t, "log", 200, "")
		return a.Metadata != nil && a.Metadata.Total >= 1
	})
	for _, q := range []string{"page=0", "page=10002", "limit=101", "limit=x", "start_date=yesterday",
		"end_date=2026-13-01", "errors_only=yes", "min_status=99", "max_status=600",
		"min_status=500&max_status=400", "method=HEAD", "realm_id=xyz", "path=", "ip_address=x", "auth_id=x", "request_id="} {
		a := r.get(log+"?"+q, u.Token).want(t, q, 400, "VALIDATION_ERROR")
		if name, _, _ := strings.Cut(q, "="); !strings.Contains(string(a.raw), `"/`+name+`"`) &&
			!strings.Contains(string(a.raw), `"/max_status"`) {
			t.Errorf("%s: the answer does not name the parameter: %s", q, a.raw)
		}
	}
	r.get(log+"?page=1&limit=5&start_date=2026-01-01&end_date=2100-01-01&errors_only=false&min_status=200&max_status=299&method=GET", u.Token).want(t, "every filter", 200, "")
	a := r.get(log+"?path=/api/v1/vault&ip_address=127.0.0.0/8&method=GET", u.Token).want(t, "a search", 200, "")
	if a.Metadata == nil || a.Metadata.Total != 1 {
		t.Errorf("the search found %s", a.raw)
	}
	r.get(log+"/stats?request_id=none&auth_id="+u.ID, u.Token).want(t, "statistics of a search", 200, "")
	eventually(t, "the statistics are there", func() bool {
		var s struct {
			TotalRecords int64 `json:"total_records"`
		}
		r.get(log+"/stats", u.Token).want(t, "stats", 200, "").into(t, &s)
		return s.TotalRecords > 0
	})
	for _, format := range []string{"csv", "ndjson"} {
		r.get(log+"/export?path=/api&format="+format, u.Token).want(t, format, 200, "")
	}
	r.get(log+"/export", u.Token).want(t, "no format", 400, "VALIDATION_ERROR")
	contractActivityOfAll(r, u)
	for _, path := range []string{"/api/v1/realms", "/api/v1/realms/"} {
		r.get(path, u.Token).want(t, path, 200, "")
		r.get(path+"?include_usage=true", u.Token).want(t, path, 200, "")
		r.get(path+"?include_usage=perhaps", u.Token).want(t, path, 400, "VALIDATION_ERROR")
	}
}

// contractActivityOfAll checks the charts, and what admins read of the logs of others.
func contractActivityOfAll(r *running, u account) {
	t, admin := r.t, r.admin()
	log, theirs := "/api/v1/users/auth/activity", "/api/v1/users/"+u.ID+"/activity"
	for path, token := range map[string]string{log + "/series": u.Token, "/api/v1/activity/series": admin.Token} {
		var points []struct{ Total int }
		r.get(path+"?interval=day&min_status=200", token).want(t, path, 200, "").into(t, &points)
		if n := len(points); n < 30 || points[n-1].Total == 0 {
			t.Errorf("%s: %d intervals: %v", path, n, points)
		}
		r.get(path, token).want(t, "no interval", 400, "VALIDATION_ERROR")
		r.get(path+"?interval=hour&path=/", token).want(t, "a search in a chart", 400, "VALIDATION_ERROR")
	}
	for _, path := range []string{theirs + "?path=/api", theirs + "/stats"} {
		r.get(path, admin.Token).want(t, path, 200, "")
		r.get(strings.Replace(path, u.ID, admin.ID[:23]+"x", 1), admin.Token).want(t, "no id", 400, "INVALID_ID_FORMAT")
		r.get(strings.Replace(path, u.ID, "0123456789abcdef01234567", 1), admin.Token).want(t, "no user", 404,
			"USER_NOT_FOUND")
	}
	r.get(theirs+"?page=0", admin.Token).want(t, "page 0", 400, "VALIDATION_ERROR")
	eventually(t, "the user sees that an admin read the log", func() bool {
		a := r.get(log+"?path="+theirs, u.Token).want(t, "log", 200, "")
		return a.Metadata.Total == 2 && strings.Contains(string(a.raw), `"auth":"session","auth_id":null`)
	})
}

func contractShared(r *running) {
	t, u := r.t, r.user("nora")
	for _, path := range []string{"/openapi.yaml", "/openapi.json", "/docs", "/docs/style.css", "/docs/app.js",
		"/docs/errors/NOT_FOUND", "/healthz", "/.well-known/jwks.json", "/verify-email", "/reset-password"} {
		r.get(path, "").want(t, path, 200, "")
	}
	r.get("/api/v1/nothing", "").want(t, "no such route", 404, "NOT_FOUND")
	r.get("/api/v1/Users/me", u.Token).want(t, "another case", 404, "NOT_FOUND")
	if allow := r.do("POST", "/api/v1/vault", u.Token, nil).want(t, "another method", 405,
		"METHOD_NOT_ALLOWED").header.Get("Allow"); !strings.Contains(allow, "DELETE") {
		t.Errorf("Allow: %q does not list DELETE", allow)
	}
	r.do("PATCH", "/api/v1/users/"+u.ID, u.Token, `{"alias":"`+strings.Repeat("x", 2<<20)+`"}`).want(t,
		"2 MB of profile", 413, "PAYLOAD_TOO_LARGE")
	r.send(request{method: "GET", path: "/api/v1/users/me", token: u.Token,
		header: map[string]string{"X-Filler": strings.Repeat("x", 64<<10)}}).want(t, "64 KB of headers", 431,
		"HEADERS_TOO_LARGE")
	problem := r.send(request{method: "GET", path: "/api/v1/users/me",
		header: map[string]string{"Accept": "application/problem+json"}})
	if problem.status != http.StatusUnauthorized || problem.header.Get("Content-Type") != "application/problem+json" ||
		!strings.Contains(string(problem.raw), `"code":"MISSING_TOKEN"`) {
		t.Errorf("problem: %d %s %s", problem.status, problem.header.Get("Content-Type"), problem.raw)
	}
}

func contractClosed(r *running) {
	late := map[string]any{"email": "late@example.com", "password": userPassword}
	r.do("POST", "/api/v1/auth/signup", "", late).want(r.t, "signup", 403, "SIGNUP_DISABLED")
	limited := start(r.t, "RATE_LIMIT_ADDRESS=3/1m")
	limited.spec = r.spec
	for i := range 4 {
		a := limited.get("/api/v1/auth/config", "")
		if want := map[bool]int{true: 200, false: 429}[i < 3]; a.status != want {
			r.t.Errorf("request %d of 3 allowed: %d", i+1, a.status)
		}
		if a.status == 429 && (a.Code != "RATE_LIMITED" || a.header.Get("Retry-After") == "") {
			r.t.Errorf("too many: %s, Retry-After %q", a.raw, a.header.Get("Retry-After"))
		}
	}
}
