package users_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/auth"
)

// TestMalformedRequestsAreClientErrors sends malformed requests to every route: the answer is an
// envelope with a status below 500.
func TestMalformedRequestsAreClientErrors(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, ann := h.admin(), h.signUp()
	fields := []string{"email", "username", "password", "current_password", "alias", "public_key", "metadata", "is_admin",
		"is_banned", "refreshToken",
		"token", "client", "region", "invite_code", "response_mode", "reason", "limit_mb"}
	var bodies []string
	for _, value := range []string{`null`, `true`, `0`, `-1e999`, `""`, `"\u0000"`, `"\ud800"`, `[]`, `{}`,
		`[{"a":[null]}]`, `{"a":"\u0000"}`, "\"\xff\xfe\"",
		`"` + strings.Repeat("x", 200<<10) + `"`, `"a@example.com"`, `"Correct-horse-1"`,
		strings.Repeat(`{"a":`, 3000) + `1` + strings.Repeat(`}`, 3000)} {
		all := make([]string, 0, len(fields))
		for _, f := range fields {
			if len(value) < 1000 || f == "alias" || f == "password" || f == "email" || f == "metadata" || f == "client" {
				all = append(all, `"`+f+`":`+value)
			}
		}
		bodies = append(bodies, "{"+strings.Join(all, ",")+"}")
	}
	bodies = append(bodies, ``, `{`, `[]`, `null`, `"x"`, `{"a":1,"a":2}`, `{}{}`, "\x00", "\xff",
		strings.Repeat("[", 20000))
	user := "/api/v1/users/" + ann.id
	for _, route := range []struct {
		method, path string
		who          auth.Identity
	}{
		{"POST", signupPath, anonymous}, {"POST", loginPath, anonymous}, {"POST", refreshPath, anonymous},
		{"POST", verifyPath, anonymous},
		{"POST", resendPath, anonymous}, {"POST", forgotPath, anonymous}, {"POST", resetPath, anonymous},
		{"PATCH", user, ann.identity},
		{"PUT", user, root.identity}, {"POST", "/api/v1/users", root.identity}, {"POST", user + "/ban", root.identity},
		{"POST", user + "/unban", root.identity},
		{"PUT", user + "/quota", root.identity}, {"DELETE", ownSessions + "/" + url.PathEscape("\x00"), ann.identity},
		{"GET", "/api/v1/users/%ff%00", ann.identity},
		{"GET", "/api/v1/users?q=%ff&page=9223372036854775808&limit=-0&is_admin=%00", root.identity},
		{"GET", historyPath + "?page=1e3&limit=%00", ann.identity},
		{"POST", logoutPath, ann.identity},
	} {
		for _, body := range bodies {
			if a := h.do(route.who, route.method, route.path, body); a.status >= 500 {
				t.Errorf("%s %s with %.80q: got %d %s", route.method, route.path, body, a.status, a.body)
			}
		}
	}
}
