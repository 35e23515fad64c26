package main

import (
	"slices"
	"strings"
)

// contractStrict sends an unknown parameter to every operation below /api/v1 and wants it refused.
func contractStrict(r *running) {
	t, admin := r.t, r.admin()
	operations := r.spec.operations(t, "VALIDATION_ERROR")
	for path, item := range r.spec.doc.Paths.Map() {
		for method := range item.Operations() {
			o := operation{method, exampleIDs.Replace(path)}
			strict := strings.HasPrefix(path, "/api/v1/") && !strings.HasSuffix(path, "/callback")
			if strict && !slices.Contains(operations, o) {
				t.Errorf("%s %s refuses parameters that it does not know, but VALIDATION_ERROR is not documented",
					method, path)
			}
		}
	}
	for _, o := range operations {
		if !strings.HasPrefix(o.path, "/api/v1/") {
			continue
		}
		for query, at := range map[string]string{"?colour=blue": `"/colour"`, "?realm_id=": `"/realm_id"`} {
			a := r.do(o.method, o.path+query, admin.Token, nil).want(t, o.method+" "+o.path+query, 400,
				"VALIDATION_ERROR")
			if !strings.Contains(string(a.raw), at) {
				t.Errorf("%s %s%s: %s does not name the parameter", o.method, o.path, query, a.raw)
			}
		}
	}
	r.send(request{method: "DELETE", path: "/api/v1/vault", token: admin.Token,
		header: map[string]string{"If-Match": `"1"`}}).
		want(t, "a condition", 400, "VALIDATION_ERROR")
}

// contractWarnings sends every kind of body with fields that its operation does not know.
func contractWarnings(r *running) {
	t, u, victim, admin := r.t, r.user("wanda"), r.user("wanda-victim"), r.admin()
	other := r.login(u.Email, userPassword)
	with := func(fields map[string]any) map[string]any {
		fields["emial"] = map[string]any{"deep": 1}
		fields["a/b"] = nil
		return fields
	}
	user, free := "/api/v1/users/"+victim.ID, map[string]any{"unheard": map[string]any{"of": 1}}
	for _, c := range []struct {
		method, path, token string
		body                map[string]any
		status              int
	}{
		{"POST", "/api/v1/auth/signup", "",
			map[string]any{"email": "wanda-new@example.com", "password": userPassword, "client": "test"}, 200},
		{"POST", "/api/v1/users/auth/login", "",
			map[string]any{"email": u.Email, "password": userPassword, "response_mode": "tokens", "username": nil},
			200},
		{"POST", "/api/v1/auth/forgot-password", "", map[string]any{"email": u.Email}, 200},
		{"POST", "/api/v1/users/auth/refresh", "", map[string]any{"refreshToken": other.Refresh}, 200},
		{"PATCH", "/api/v1/users/" + u.ID, u.Token, map[string]any{"alias": "W", "metadata": free}, 200},
		{"PUT", "/api/v1/users/" + u.ID, u.Token, map[string]any{}, 200},
		{"PUT", "/api/v1/vault/keys/w", u.Token, map[string]any{"value": "v", "metadata": free}, 201},
		{"PATCH", "/api/v1/vault/keys/w", u.Token, map[string]any{"value": strings.Repeat("large", 50_000)}, 200},
		{"DELETE", "/api/v1/vault/keys/w", u.Token, map[string]any{}, 200},
		{"DELETE", "/api/v1/vault", u.Token, map[string]any{}, 200},
		{"POST", "/api/v1/users/auth/2fa/setup", u.Token, map[string]any{"password": userPassword}, 200},
		{"POST", "/api/v1/users/me/retry-setup", u.Token, map[string]any{"region": "eu-west"}, 200},
		{"DELETE", "/api/v1/users/me/sessions", u.Token, map[string]any{}, 200},
		{"POST", "/api/v1/users", admin.Token,
			map[string]any{"email": "wanda-made@example.com", "password": userPassword}, 201},
		{"POST", user + "/ban", admin.Token, map[string]any{"reason": "spam"}, 200},
		{"POST", user + "/unban", admin.Token, map[string]any{}, 200},
		{"PUT", user + "/quota", admin.Token, map[string]any{"limit_mb": 5}, 200},
		{"POST", user + "/logout", admin.Token, map[string]any{}, 200},
		{"POST", "/api/v1/users/auth/logout", u.Token, map[string]any{}, 200},
	} {
		got := r.do(c.method, c.path, c.token, with(c.body)).want(t, c.method+" "+c.path, c.status, "").Warnings
		slices.Sort(got)
		if want := []string{"unknown field /a~1b was ignored", "unknown field /emial was ignored"}; !slices.Equal(got,
			want) {
			t.Errorf("%s %s: warnings %q, want %q", c.method, c.path, got, want)
		}
	}
	for _, body := range []any{nil, "[]", map[string]any{"alias": "x"}} {
		if a := r.do("DELETE", "/api/v1/users/me/sessions", admin.Token, body); a.status != 200 || body == nil &&
			a.Warnings != nil {
			t.Errorf("body %v: got %d with warnings %q", body, a.status, a.Warnings)
		}
	}
}
