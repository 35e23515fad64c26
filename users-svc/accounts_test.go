package users_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

func TestProfile(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	ann, bob, root := h.signUp(), h.signUp(), h.admin()
	banned := bob.identity
	banned.Banned = true
	token := auth.Identity{Kind: auth.Token, UserID: ann.id, TokenID: ann.id, Grant: &auth.Grant{}}
	const nobody = "0123456789abcdef01234567"
	for _, c := range []struct {
		name, path, code, message string
		who                       auth.Identity
		status                    int
	}{
		{"a user reads itself", "/api/v1/users/" + ann.id, "", "User retrieved successfully", ann.identity, 200},
		{"me", "/api/v1/users/me", "", "Current user retrieved successfully", ann.identity, 200},
		{"auth/me", "/api/v1/users/auth/me", "", "Current user retrieved successfully", ann.identity, 200},
		{"a user may not read another", "/api/v1/users/" + bob.id, "INSUFFICIENT_PERMISSIONS", "Insufficient permissions",
			ann.identity, 403},
		{"nor learn that there is none", "/api/v1/users/" + nobody, "INSUFFICIENT_PERMISSIONS", "Insufficient permissions",
			ann.identity, 403},
		{"an admin reads anyone", "/api/v1/users/" + bob.id, "", "", root.identity, 200},
		{"an admin learns that there is none", "/api/v1/users/" + nobody, "USER_NOT_FOUND", "User not found", root.identity,
			404},
		{"an id has 24 characters", "/api/v1/users/123", "INVALID_ID_FORMAT", "Invalid ID format", ann.identity, 400},
		{"an id is lower-case", "/api/v1/users/" + strings.ToUpper(nobody), "INVALID_ID_FORMAT", "", ann.identity, 400},
		{"a banned user reads itself", "/api/v1/users/" + bob.id, "", "", banned, 200},
		{"a banned user reads me", "/api/v1/users/me", "", "", banned, 200},
		{"a banned user reads nobody else", "/api/v1/users/" + ann.id, "ACCOUNT_BANNED", "Your account is banned", banned,
			403},
		{"nobody is signed in", "/api/v1/users/me", "MISSING_TOKEN", "Authentication token required", anonymous, 401},
		{"a token without read_account", "/api/v1/users/me", "", "", token, 200},
	} {
		h.do(c.who, "GET", c.path, nil).want(c.status, c.code, c.message)
	}
	full := h.do(ann.identity, "GET", "/api/v1/users/me", nil).mustStatus(200)
	if n := len(full.data.(map[string]any)); n != 13 {
		t.Errorf("fields of a user: got %d, want 13: %s", n, full.body)
	}
	local, _, _ := strings.Cut(ann.email, "@")
	if name := full.text("username"); !regexp.MustCompile("^" + local + "-[0-9a-f]{4}$").MatchString(name) {
		t.Errorf("username: got %s, want %s-<4 hex>", name, local)
	}
	reduced := h.do(token, "GET", "/api/v1/users/me", nil).mustStatus(200).data.(map[string]any)
	if _, leaked := reduced["email"]; leaked || len(reduced) != 6 {
		t.Errorf("reduced view: got %v, want six fields without email", reduced)
	}
}

// refusal is an update of the user id that breaks a rule; at is the pointer to the field.
type refusal struct {
	name, body, code, at string
	who                  auth.Identity
	id                   string
	status               int
}

func (h *harness) wantRefusal(c refusal) {
	h.t.Helper()
	for _, method := range []string{"PATCH", "PUT"} {
		a := h.do(c.who, method, "/api/v1/users/"+c.id, c.body)
		a.request = c.name
		a.want(c.status, c.code, "")
		if c.at != "" && !strings.Contains(string(a.body), `"instancePath":"`+c.at+`"`) {
			h.t.Errorf("%s: got %s, want an entry for %s", c.name, a.body, c.at)
		}
	}
}

func TestUpdateRules(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	ann, bob := h.signUp(), h.signUp()
	before := string(h.do(ann.identity, "GET", "/api/v1/users/"+ann.id, nil).mustStatus(200).body)
	key := strings.Repeat("aB12", 16)
	for _, c := range []refusal{
		{"not JSON", `{`, "VALIDATION_ERROR", "", ann.identity, ann.id, 400},
		{"not an object", `[]`, "VALIDATION_ERROR", "", ann.identity, ann.id, 400},
		{"not UTF-8", "{\"alias\":\"\xff\"}", "VALIDATION_ERROR", "", ann.identity, ann.id, 400},
		{"alias of a wrong type", `{"alias":1}`, "VALIDATION_ERROR", "/alias", ann.identity, ann.id, 400},
		{"alias null", `{"alias":null}`, "VALIDATION_ERROR", "/alias", ann.identity, ann.id, 400},
		{"empty alias", `{"alias":""}`, "VALIDATION_ERROR", "/alias", ann.identity, ann.id, 400},
		{"long alias", `{"alias":"` + strings.Repeat("é", 101) + `"}`, "VALIDATION_ERROR", "/alias", ann.identity, ann.id,
			400},
		{"alias with NUL", `{"alias":"a\u0000b"}`, "VALIDATION_ERROR", "/alias", ann.identity, ann.id, 400},
		{"200 KB of alias", `{"alias":"` + strings.Repeat("x", 200<<10) + `"}`, "VALIDATION_ERROR", "/alias", ann.identity,
			ann.id, 400},
		{"short public key", `{"public_key":"ab"}`, "INVALID_PUBLIC_KEY_FORMAT", "", ann.identity, ann.id, 400},
		{"public key with a NUL", `{"public_key":"` + key[:58] + `\u0000aaaaa"}`, "INVALID_PUBLIC_KEY_FORMAT", "",
			ann.identity, ann.id, 400},
		{"public key of a wrong type", `{"public_key":{}}`, "VALIDATION_ERROR", "/public_key", ann.identity, ann.id, 400},
		{"metadata an array", `{"metadata":[]}`, "VALIDATION_ERROR", "/metadata", ann.identity, ann.id, 400},
		{"metadata null", `{"metadata":null}`, "VALIDATION_ERROR", "/metadata", ann.identity, ann.id, 400},
		{"metadata over 64 KB", `{"metadata":{"a":"` + strings.Repeat("x", 64<<10) + `"}}`, "VALIDATION_ERROR", "/metadata",
			ann.identity, ann.id, 400},
		{"deep metadata", `{"metadata":` + strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 201), "VALIDATION_ERROR",
			"/metadata", ann.identity, ann.id, 400},
		{"is_admin of a wrong type", `{"is_admin":"true"}`, "VALIDATION_ERROR", "/is_admin", ann.identity, ann.id, 400},
		{"is_banned of a wrong type", `{"is_banned":0}`, "VALIDATION_ERROR", "/is_banned", ann.identity, ann.id, 400},
		{"is_admin by a user", `{"alias":"new","is_admin":true}`, "INSUFFICIENT_PERMISSIONS", "", ann.identity, ann.id, 403},
		{"is_banned false by a user", `{"is_banned":false}`, "INSUFFICIENT_PERMISSIONS", "", ann.identity, ann.id, 403},
		{"somebody else", `{"alias":"new"}`, "CANNOT_MODIFY_OTHER_USER", "", bob.identity, ann.id, 403},
		{"somebody else who is not there", `{"alias":"new"}`, "CANNOT_MODIFY_OTHER_USER", "", bob.identity,
			"0123456789abcdef01234567", 403},
		{"no id", `{"alias":"new"}`, "INVALID_ID_FORMAT", "", ann.identity, "nope", 400},
		{"one good and one bad field", `{"alias":"new","metadata":1}`, "VALIDATION_ERROR", "/metadata", ann.identity, ann.id,
			400},
		{"a token without the permission", `{"alias":"new"}`, "INSUFFICIENT_PERMISSIONS", "",
			auth.Identity{Kind: auth.Token, UserID: ann.id, Grant: &auth.Grant{}}, ann.id, 403},
	} {
		h.wantRefusal(c)
	}
	if after := string(h.do(ann.identity, "GET", "/api/v1/users/"+ann.id, nil).mustStatus(200).body); after != before {
		t.Errorf("refused updates changed the user: got %s, want %s", after, before)
	}
	all := h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id, `{"alias":1,"metadata":2,"is_admin":3}`).want(400,
		"VALIDATION_ERROR", "Validation failed")
	if n := len(all.data.([]any)); n != 3 {
		t.Errorf("violations: got %d, want one for each of three fields: %s", n, all.body)
	}
}

func TestPasswordChangeRules(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	token := auth.Identity{Kind: auth.Token, UserID: ann.id, TokenID: ann.id,
		Grant: &auth.Grant{Permissions: []string{"resources.update_account"}}}
	for _, c := range []refusal{
		{"weak password", `{"password":"short","current_password":"` + password + `"}`, "WEAK_PASSWORD", "", ann.identity,
			ann.id, 400},
		{"two classes", `{"password":"onlylowercase1","current_password":"` + password + `"}`, "WEAK_PASSWORD", "",
			ann.identity, ann.id, 400},
		{"long password", `{"password":"` + strings.Repeat("Aa1-", 33) + `","current_password":"` + password + `"}`,
			"WEAK_PASSWORD", "", ann.identity, ann.id, 400},
		{"password of a wrong type", `{"password":12}`, "VALIDATION_ERROR", "/password", ann.identity, ann.id, 400},
		{"no current password", `{"password":"Another-horse-2"}`, "CURRENT_PASSWORD_REQUIRED", "", ann.identity, ann.id, 400},
		{"wrong current password", `{"password":"Another-horse-2","current_password":"Wrong-horse-1"}`,
			"CURRENT_PASSWORD_INCORRECT", "", ann.identity, ann.id, 400},
		{"short current password", `{"password":"Another-horse-2","current_password":"x"}`, "VALIDATION_ERROR",
			"/current_password", ann.identity, ann.id, 400},
		{"a password by token", `{"password":"Another-horse-2","current_password":"` + password + `"}`,
			"INSUFFICIENT_PERMISSIONS", "", token, ann.id, 403},
	} {
		h.wantRefusal(c)
	}
	h.do(anonymous, "POST", loginPath, map[string]string{"email": ann.email, "password": password}).want(200, "", "")
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	path := "/api/v1/users/" + ann.id
	for _, c := range []struct{ name, body, at, want string }{
		{"an alias of 100 characters", `{"alias":"` + strings.Repeat("é", 100) + `"}`, "alias", strings.Repeat("é", 100)},
		{"an alias that looks like SQL", `{"alias":"'; DROP TABLE users;--"}`, "alias", "'; DROP TABLE users;--"},
		{"a public key", `{"public_key":"` + strings.Repeat("aB12", 16) + `"}`, "public_key", strings.Repeat("aB12", 16)},
		{"an unknown field", `{"alias":"x","nonsense":{"a":[1]},"id":"1","emial":"x@y.z"}`, "email", ann.email},
	} {
		a := h.do(ann.identity, "PATCH", path, c.body).want(200, "", "User updated successfully")
		if a.field(c.at) != c.want {
			t.Errorf("%s: got %v, want %s", c.name, a.field(c.at), c.want)
		}
	}
	// Order of names, escapes and numbers are kept.
	metadata := `{"z":1,"a":{"nul":"\u0000","big":123456789012345678901234567890,"float":1.0,"deep":[[],{}]},"":null}`
	h.do(ann.identity, "PUT", path, `{"metadata": `+strings.ReplaceAll(metadata, ":", " : ")+`}`).want(200, "", "")
	if a := h.do(ann.identity, "GET", path, nil).mustStatus(200); !strings.Contains(string(a.body),
		`"metadata":`+metadata+`,`) {
		t.Errorf("metadata: got %s, want %s in it", a.body, metadata)
	}
	before := string(h.do(ann.identity, "GET", path, nil).mustStatus(200).body)
	for _, body := range []any{nil, `{}`, ` `} {
		h.do(ann.identity, "PATCH", path, body).want(200, "", "User updated successfully")
	}
	if after := string(h.do(ann.identity, "GET", path, nil).mustStatus(200).body); after != before {
		t.Errorf("empty updates changed the user: got %s, want %s", after, before)
	}
}

func TestPasswordChangeEndsOtherSessions(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	ann := h.signUp()
	other := h.signIn(ann.email, password)
	const next = "Another-horse-2"
	h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id,
		map[string]string{"password": next, "current_password": password}).want(200, "", "")
	if h.alive(other) || !h.alive(ann) {
		t.Errorf("alive: got other %v, own %v, want false, true", h.alive(other), h.alive(ann))
	}
	h.do(anonymous, "POST", "/api/v1/users/auth/refresh", map[string]string{"refreshToken": other.refresh}).want(401,
		"INVALID_TOKEN", "")
	h.do(anonymous, "POST", "/api/v1/users/auth/refresh", map[string]string{"refreshToken": ann.refresh}).want(200, "", "")
	h.do(anonymous, "POST", "/api/v1/users/auth/login",
		map[string]string{"email": ann.email, "password": password}).want(401, "INVALID_CREDENTIALS", "")
	h.signIn(ann.email, next)
	t.Run("an admin needs no current password for others, and all sessions end", func(t *testing.T) {
		root := h.admin()
		a := h.do(root.identity, "PATCH", "/api/v1/users/"+ann.id, map[string]string{"password": password}).want(200, "", "")
		if h.alive(ann) || a.header.Get("X-Realmgate-On-User") != ann.id {
			t.Errorf("alive %v, on-user %q, want false, %s", h.alive(ann), a.header.Get("X-Realmgate-On-User"), ann.id)
		}
		h.do(root.identity, "PATCH", "/api/v1/users/"+root.id, map[string]string{"password": next}).want(400,
			"CURRENT_PASSWORD_REQUIRED", "")
	})
	t.Run("of many at once one wins", func(t *testing.T) {
		ann = h.signIn(ann.email, password)
		won := h.countConcurrent(20, func(i int) bool {
			return h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id,
				map[string]string{"password": fmt.Sprintf("%s-%d", next, i), "current_password": password}).status == 200
		})
		if won != 1 {
			t.Errorf("changes that succeeded with the same current password: got %d, want 1", won)
		}
	})
}

// countConcurrent runs f n times concurrently and returns how often it was true.
func (h *harness) countConcurrent(n int, f func(i int) bool) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for i := range n {
		wg.Go(func() {
			if f(i) {
				mu.Lock()
				total++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return total
}

func TestFlags(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	ann, root := h.signUp(), h.admin()
	user, self := "/api/v1/users/"+ann.id, "/api/v1/users/"+root.id
	h.do(root.identity, "PATCH", self, `{"is_admin":false}`).want(409, "LAST_ADMIN", "")
	h.do(root.identity, "PATCH", self, `{"is_banned":true}`).want(403, "CANNOT_BAN_ADMIN", "Cannot ban admin users")
	h.do(root.identity, "PATCH", user, `{"is_admin":true,"is_banned":true}`).want(403, "CANNOT_BAN_ADMIN", "")
	h.do(root.identity, "PATCH", "/api/v1/users/0123456789abcdef01234567", `{"is_banned":true}`).want(404,
		"USER_NOT_FOUND", "")
	before := h.do(root.identity, "PATCH", user, `{"alias":"x"}`).want(200, "", "").header.Get(sessionstate.ChangedHeader)
	banned := h.do(root.identity, "PATCH", user, `{"is_banned":true}`).want(200, "", "")
	told := sessionstate.ParseChanges(banned.header.Get(sessionstate.ChangedHeader))
	if banned.field("is_banned") != true ||
		before != "" || len(told) != 1 || told[0].UserID != ann.id {
		t.Errorf("is_banned %v, told %q of another alias and %q of the ban; want true, nothing and the change of %s",
			banned.field("is_banned"), before,
			banned.header.Get(sessionstate.ChangedHeader), ann.id)
	}
	if got := h.do(system, "GET", "/internal/sessions/"+ann.identity.SessionID, nil).field("banned"); got != true {
		t.Errorf("state of a banned user: got banned %v, want true", got)
	}
	h.do(root.identity, "PATCH", user, `{"is_admin":true}`).want(403, "CANNOT_BAN_ADMIN", "")
	h.do(root.identity, "PATCH", user, `{"is_admin":true,"is_banned":false}`).want(200, "", "")
	h.do(root.identity, "PATCH", user, `{"is_banned":true}`).want(403, "CANNOT_BAN_ADMIN", "")
	h.do(root.identity, "PATCH", user, `{"is_admin":false,"is_banned":true}`).want(403, "CANNOT_BAN_ADMIN", "")
	h.do(root.identity, "PATCH", user, `{"is_admin":false}`).want(200, "", "")
}

func TestConcurrentDemotionsKeepLastAdmin(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root := h.admin()
	for range 5 {
		ann := h.signUp()
		h.do(root.identity, "PATCH", "/api/v1/users/"+ann.id, `{"is_admin":true}`).mustStatus(200)
		ann.identity.Admin = true
		pair := [2]testUser{root, ann}
		done := h.countConcurrent(2, func(i int) bool {
			a := h.do(pair[i].identity, "PATCH", "/api/v1/users/"+pair[1-i].id, `{"is_admin":false}`)
			if a.status != http.StatusOK {
				a.want(409, "LAST_ADMIN", "")
			}
			return a.status == http.StatusOK
		})
		if done != 1 {
			t.Fatalf("demotions that succeeded: got %d, want 1", done)
		}
		if h.do(root.identity, "GET", "/api/v1/users/"+root.id, nil).field("is_admin") == false {
			root = ann
		}
	}
}

func TestAdminList(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root := h.admin()
	ann, bob := h.signUp(), h.signUp()
	h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id, `{"alias":"100% _odd_ \\ name"}`).mustStatus(200)
	h.do(root.identity, "PATCH", "/api/v1/users/"+bob.id, `{"is_banned":true}`).mustStatus(200)
	for _, c := range []struct {
		query string
		total float64
	}{
		{"", 3}, {"?limit=1&page=2", 3}, {"?q=100%25", 1}, {"?q=%25", 1}, {"?q=_ODD_", 1}, {"?q=%5C", 1},
		{"?q=" + bob.email, 1}, {"?q=EXAMPLE.com", 3},
		{"?is_admin=true", 1}, {"?is_admin=false", 2}, {"?is_banned=true", 1}, {"?is_banned=true&is_admin=true", 0},
		{"?q=" + ann.id, 1}, {"?q=%F0%9F%98%80", 0},
	} {
		a := h.do(root.identity, "GET", "/api/v1/users"+c.query, nil).want(200, "", "Users retrieved successfully")
		if a.metadata["total"] != c.total {
			t.Errorf("%s: total: got %v, want %v", c.query, a.metadata["total"], c.total)
		}
	}
	for _, query := range []string{"page=0", "page=x", "limit=101", "limit=0", "is_admin=1", "is_banned=", "q=%00",
		"q=%ff", "q=" + strings.Repeat("x", 256)} {
		h.do(root.identity, "GET", "/api/v1/users?"+query, nil).want(400, "VALIDATION_ERROR", "")
	}
	h.do(ann.identity, "GET", "/api/v1/users", nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
}
