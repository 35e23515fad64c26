package users_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestUsernamesAreUniqueWithoutRegardToCase(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, ann, bob := h.admin(), h.signUp(), h.signUp()
	self := "/api/v1/users/" + ann.id
	if a := h.do(ann.identity, "PATCH", self,
		`{"username":"Ann_the-1st"}`).mustStatus(200); a.text("username") != "Ann_the-1st" {
		t.Errorf("got %s", a.body)
	}
	h.do(anonymous, "POST", loginPath, map[string]string{"username": "Ann_the-1st", "password": password}).mustStatus(200)
	h.do(ann.identity, "PUT", self, `{"username":"ann_THE-1st"}`).mustStatus(200) // the own name in another case
	for _, name := range []string{"ann_the-1st", "ANN_THE-1ST", "ann_THE-1st"} {
		h.do(bob.identity, "PATCH", "/api/v1/users/"+bob.id, map[string]string{"username": name, "alias": "B"}).want(409,
			"USERNAME_TAKEN", "")
		h.do(root.identity, "PATCH", "/api/v1/users/"+bob.id, map[string]string{"username": name}).want(409, "USERNAME_TAKEN",
			"")
		h.do(root.identity, "POST", "/api/v1/users",
			map[string]string{"email": newEmail(), "password": password, "username": name}).want(409, "USERNAME_TAKEN", "")
	}
	if a := h.do(bob.identity, "GET", "/api/v1/users/me", nil).mustStatus(200); a.text("alias") == "B" {
		t.Error("a refused change took effect in part")
	}
	for _, name := range []any{"ab", strings.Repeat("a", 51), "a b c", "änn", "ann@x", "", nil, 7} {
		a := h.do(ann.identity, "PATCH", self, map[string]any{"username": name}).want(400, "VALIDATION_ERROR", "")
		if !strings.Contains(string(a.body), `"/username"`) {
			t.Errorf("%v: got %s", name, a.body)
		}
	}
	h.do(root.identity, "PATCH", "/api/v1/users/"+bob.id, `{"username":"Bob"}`).mustStatus(200)
	if got := h.events(ann); strings.Count(got, "username_changed") != 2 {
		t.Errorf("history %s", got)
	}
	// Concurrent requests for the same name.
	var wait sync.WaitGroup
	codes := make([]int, 2)
	for i, p := range []testUser{ann, bob} {
		wait.Go(func() {
			codes[i] = h.do(p.identity, "PATCH", "/api/v1/users/"+p.id,
				map[string]string{"username": []string{"raced", "RACED"}[i]}).status
		})
	}
	wait.Wait()
	if got := fmt.Sprint(codes); got != "[200 409]" && got != "[409 200]" {
		t.Errorf("two at once: got %s, want one 200 and one 409", got)
	}
}

func TestAdminsChangeAddresses(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, withMail(office))
	root := h.admin()
	email, taken, fresh := newEmail(), newEmail(), newEmail()
	for _, address := range []string{email, taken} {
		h.do(anonymous, "POST", signupPath, map[string]string{"email": address, "password": password}).mustStatus(200)
	}
	link := linkToken(t, office.Await(t, email, 1), "verify-email")
	h.do(anonymous, "POST", loginPath, map[string]string{"email": email, "password": password}).want(401,
		"EMAIL_NOT_VERIFIED", "")
	found := h.do(root.identity, "GET", "/api/v1/users?q="+email,
		nil).mustStatus(200).data.([]any)[0].(map[string]any)["id"].(string)
	path := "/api/v1/users/" + found
	h.do(root.identity, "PATCH", path, map[string]any{"email": strings.ToUpper(taken), "alias": "x"}).want(409,
		"EMAIL_TAKEN", "")
	h.do(root.identity, "PATCH", path, map[string]any{"email": "nobody"}).want(400, "VALIDATION_ERROR", "")
	a := h.do(root.identity, "PATCH", path, map[string]any{"email": fresh}).mustStatus(200)
	if a.text("email") != fresh || a.field("email_verified") != true || a.text("alias") == "x" {
		t.Errorf("got %s", a.body)
	}
	// it was sent to the old address
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": link}).want(400, "INVALID_VERIFICATION_TOKEN", "")
	me := h.signIn(fresh, password)
	h.do(anonymous, "POST", loginPath, map[string]string{"email": email, "password": password}).want(401,
		"INVALID_CREDENTIALS", "")
	h.do(root.identity, "PATCH", path, map[string]any{"email": strings.ToUpper(fresh)}).mustStatus(200) // the same account
	h.do(root.identity, "PATCH", path, map[string]any{"email_verified": false}).mustStatus(200)
	h.do(anonymous, "POST", loginPath, map[string]string{"email": fresh, "password": password}).want(401,
		"EMAIL_NOT_VERIFIED", "")
	h.do(root.identity, "PUT", path, map[string]any{"email_verified": true}).mustStatus(200)
	h.signIn(fresh, password)

	a = h.do(me.identity, "PATCH", path, map[string]any{"email": newEmail()}).want(400, "VALIDATION_ERROR", "")
	if !strings.Contains(string(a.body), `"/email"`) || !strings.Contains(string(a.body), "POST /users/me/email") {
		t.Errorf("a user about itself: got %s", a.body)
	}
	h.do(me.identity, "PATCH", path, map[string]any{"email_verified": true}).want(403, "INSUFFICIENT_PERMISSIONS", "")
	_, secret := h.createToken(me.identity, `{"permission_template":"full_access"}`)
	h.do(h.tokenIdentity(secret), "PATCH", path, map[string]any{"email": newEmail()}).want(400, "VALIDATION_ERROR", "")
	if got := h.events(me); !strings.Contains(got, "email_changed") || !strings.Contains(got, "email_unverified") {
		t.Errorf("history %s", got)
	}
}

func TestAdminReadsReasonAndTimeOfBan(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, me := h.admin(), h.signUp()
	path := "/api/v1/users/" + me.id
	read := func() *response { return h.do(root.identity, "GET", path, nil).mustStatus(200) }
	if a := read(); a.field("ban_reason") != nil || a.field("banned_at") != nil ||
		!strings.Contains(string(a.body), `"banned_at":null`) {
		t.Errorf("not banned: got %s", a.body)
	}
	h.do(root.identity, "POST", path+"/ban", `{"reason":"spam"}`).mustStatus(200)
	first := read().text("banned_at")
	at, err := time.Parse(time.RFC3339, first)
	if since := h.clock.now().Sub(at); err != nil || since < 0 || since > time.Minute ||
		read().text("ban_reason") != "spam" {
		t.Errorf("banned: got %s", read().body)
	}
	h.clock.forward(time.Hour)
	h.do(root.identity, "POST", path+"/ban", `{"reason":"more spam"}`).mustStatus(200)
	if a := read(); a.text("banned_at") != first || a.text("ban_reason") != "more spam" {
		t.Errorf("banned again: got %s, want since %s", a.body, first)
	}
	banned := me.identity
	banned.Banned = true
	if a := h.do(banned, "GET", path, nil).mustStatus(200); strings.Contains(string(a.body), "ban_reason") ||
		strings.Contains(string(a.body), "spam") {
		t.Errorf("the banned user: got %s", a.body)
	}
	h.do(root.identity, "POST", path+"/unban", nil).mustStatus(200)
	if a := read(); a.field("ban_reason") != nil || a.field("banned_at") != nil {
		t.Errorf("unbanned: got %s", a.body)
	}
	h.do(root.identity, "PATCH", path, `{"is_banned":true}`).mustStatus(200)
	if a := read(); a.field("ban_reason") != nil || a.field("banned_at") == nil || a.field("banned_at") == first {
		t.Errorf("banned without a reason: got %s", a.body)
	}
}
