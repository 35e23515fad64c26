package users_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/users-svc"
)

const devicePath = "/api/v1/auth/device"

// deviceCodes are the codes of a device that signs in.
type deviceCodes struct{ device, user string }

// requestCodes begins the sign-in of a device.
func (h *harness) requestCodes(fields any) deviceCodes {
	h.t.Helper()
	a := h.do(anonymous, "POST", devicePath+"/code", fields).mustStatus(200)
	return deviceCodes{a.text("device_code"), a.text("user_code")}
}

// pollDevice polls as a device that waited for the interval.
func (h *harness) pollDevice(codes deviceCodes) *response {
	h.t.Helper()
	h.backdate("device_codes", 5*time.Second, "polled_at")
	return h.do(anonymous, "POST", devicePath+"/token", map[string]any{"device_code": codes.device})
}

func (h *harness) decideDevice(who auth.Identity, decision, userCode string) *response {
	h.t.Helper()
	return h.do(who, "POST", devicePath+"/"+decision, map[string]any{"user_code": userCode})
}

// wantDevice checks a refusal of a poll: its status, code and the error in its data.
func (a *response) wantDevice(oauthError string) *response {
	a.t.Helper()
	a.want(400, strings.ToUpper(oauthError), "")
	if got := a.field("error"); got != oauthError {
		a.t.Errorf("data.error: got %v, want %s", got, oauthError)
	}
	return a
}

func TestDeviceSignIn(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Mail.PublicURL = "https://id.example.com/base/" })
	ann := h.signUp()
	a := h.do(anonymous, "POST", devicePath+"/code",
		map[string]any{"client_name": "Hoody CLI", "client": "cli/1"}).mustStatus(200)
	codes := deviceCodes{a.text("device_code"), a.text("user_code")}
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(codes.device) ||
		!regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(codes.user) {
		t.Errorf("codes: got %+v", codes)
	}
	page := "https://id.example.com/base/device"
	if a.text("verification_uri") != page || a.text("verification_uri_complete") != page+"?user_code="+codes.user ||
		a.field("interval") != 5.0 || a.field("expires_in") != 900.0 {
		t.Errorf("got %s", a.body)
	}
	h.pollDevice(codes).wantDevice("authorization_pending")
	h.do(anonymous, "POST", devicePath+"/token", map[string]any{"device_code": codes.device}).wantDevice("slow_down")
	h.pollDevice(codes).wantDevice("authorization_pending")

	shown := h.do(ann.identity, "GET", devicePath+"?user_code="+strings.ToLower(codes.user), nil).mustStatus(200)
	if shown.text("client_name") != "Hoody CLI" || shown.text("ip_address") != "192.0.2.1" ||
		shown.text("created_at") == "" {
		t.Errorf("the device as the page shows it: got %s", shown.body)
	}
	h.decideDevice(ann.identity, "approve", strings.ToLower(strings.ReplaceAll(codes.user, "-", ""))).want(200, "",
		"Device approved")
	// The first poll succeeds at once, although the interval is not over.
	result := h.do(anonymous, "POST", devicePath+"/token", map[string]any{"device_code": codes.device}).mustStatus(200)
	box := h.userOf(ann.email, result)
	if box.id != ann.id || !h.alive(box) || result.text("user.email") != ann.email {
		t.Errorf("the session of the device: got %s", result.body)
	}
	h.pollDevice(codes).wantDevice("invalid_grant")
	for _, decision := range []string{"approve", "deny"} {
		h.decideDevice(ann.identity, decision, codes.user).want(404, "DEVICE_CODE_NOT_FOUND", "")
	}
	// The device proved neither password nor code.
	h.do(box.identity, "POST", "/api/v1/auth/tokens", nil).want(403, "CONFIRMATION_REQUIRED", "")
	h.do(box.identity, "POST", "/api/v1/auth/tokens", map[string]any{"current_password": password}).mustStatus(201)
	h.do(h.userOf(ann.email, result).identity, "POST", "/api/v1/auth/tokens", nil).mustStatus(201)
	if got := h.events(ann); !strings.Contains(got, "device_approved") {
		t.Errorf("security history: got %s, want device_approved", got)
	}
	if n := query[int](h, `SELECT count(*)::int FROM sessions WHERE id = $1 AND client = 'cli/1'`,
		box.identity.SessionID); n != 1 {
		t.Error("the session does not have the name of the client")
	}
}

func TestDeviceRefusals(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	for name, body := range map[string]any{
		"a name of 65 characters": map[string]any{"client_name": strings.Repeat("n", 65)},
		"an empty name":           map[string]any{"client_name": ""},
		"a hidden character":      map[string]any{"client_name": "a\u202eb"},
		"a line break":            map[string]any{"client_name": "a\nb"},
		"a plain challenge":       map[string]any{"code_challenge": "short"},
		"a number":                map[string]any{"code_challenge": 1},
	} {
		a := h.do(anonymous, "POST", devicePath+"/code", body)
		a.request = name
		a.want(400, "VALIDATION_ERROR", "")
	}
	for _, body := range []any{nil, map[string]any{"device_code": "x"}, map[string]any{"device_code": 1}} {
		h.do(anonymous, "POST", devicePath+"/token", body).want(400, "VALIDATION_ERROR", "")
	}
	h.pollDevice(deviceCodes{device: strings.Repeat("0", 64)}).wantDevice("invalid_grant")

	denied := h.requestCodes(nil)
	h.decideDevice(ann.identity, "deny", denied.user).want(200, "", "Device denied")
	h.pollDevice(denied).wantDevice("access_denied")
	h.decideDevice(ann.identity, "approve", denied.user).want(404, "DEVICE_CODE_NOT_FOUND", "")

	late := h.requestCodes(map[string]any{})
	h.clock.forward(h.cfg.Device.CodeTTL)
	h.do(ann.identity, "GET", devicePath+"?user_code="+late.user, nil).want(404, "DEVICE_CODE_NOT_FOUND", "")
	h.decideDevice(ann.identity, "approve", late.user).want(404, "DEVICE_CODE_NOT_FOUND", "")
	h.pollDevice(late).wantDevice("expired_token")

	h.do(ann.identity, "GET", devicePath, nil).want(400, "VALIDATION_ERROR", "")
	h.decideDevice(ann.identity, "approve", "").want(400, "VALIDATION_ERROR", "")
	h.decideDevice(anonymous, "approve", late.user).want(401, "MISSING_TOKEN", "")
	token := auth.Identity{Kind: auth.Token, UserID: ann.id, TokenID: ann.id, Grant: &auth.Grant{}}
	h.do(token, "GET", devicePath+"?user_code="+late.user, nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	h.decideDevice(token, "deny", late.user).want(403, "INSUFFICIENT_PERMISSIONS", "")
}

func TestDeviceCodeChallenge(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	codes := h.requestCodes(map[string]any{"code_challenge": base64.RawURLEncoding.EncodeToString(sum[:])})
	poll := func(verifier any) *response {
		return h.do(anonymous, "POST", devicePath+"/token",
			map[string]any{"device_code": codes.device, "code_verifier": verifier})
	}
	h.pollDevice(codes).wantDevice("invalid_grant")
	h.decideDevice(ann.identity, "approve", codes.user).mustStatus(200)
	h.pollDevice(codes).wantDevice("invalid_grant")
	for _, wrong := range []any{nil, "", strings.Repeat("w", 43), strings.Repeat("v", 42), strings.Repeat("v", 129)} {
		poll(wrong).wantDevice("invalid_grant")
	}
	poll(1).want(400, "VALIDATION_ERROR", "")
	poll(verifier).want(200, "", "")
}

// TestDeviceCodeIsVoidWithoutItsApprover: an approval is worth nothing once the session that gave
// it has ended, or its user may not sign in.
func TestDeviceCodeIsVoidWithoutItsApprover(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root := h.admin()
	for name, c := range map[string]struct {
		end  func(testUser)
		want string
	}{
		"logout": {func(u testUser) { h.do(u.identity, "POST", logoutPath, nil).mustStatus(200) }, "expired_token"},
		"logout by admins": {func(u testUser) {
			h.do(root.identity, "POST", "/api/v1/users/"+u.id+"/logout",
				nil).mustStatus(200)
		}, "expired_token"},
		"a ban": {func(u testUser) {
			h.do(root.identity, "POST", "/api/v1/users/"+u.id+"/ban", map[string]any{"reason": "r"}).mustStatus(200)
		}, "access_denied"},
		"a deleted account": {func(u testUser) {
			if _, err := h.database().Exec(t.Context(), `DELETE FROM users WHERE id = $1`, u.id); err != nil {
				t.Error(err)
			}
		}, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			u, codes := h.signUp(), h.requestCodes(nil)
			h.decideDevice(u.identity, "approve", codes.user).mustStatus(200)
			c.end(u)
			h.pollDevice(codes).wantDevice(c.want)
		})
	}
}

// TestDeviceRaces: many polls at two replicas get one session, and of an approval and a denial at
// once one wins.
func TestDeviceRaces(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	replicas := []string{h.baseURL, h.startReplica()}
	for range 4 {
		codes := h.requestCodes(nil)
		var decisions [2]int
		ok := h.countConcurrent(12, func(i int) bool {
			if i < 2 {
				decision := []string{"approve", "deny"}[i]
				decisions[i] = h.doAt(replicas[i], ann.identity, "POST", devicePath+"/"+decision,
					map[string]any{"user_code": codes.user}).status
				return false
			}
			return h.doAt(replicas[i%2], anonymous, "POST", devicePath+"/token",
				map[string]any{"device_code": codes.device}).status == http.StatusOK
		})
		if decisions != [2]int{200, 404} && decisions != [2]int{404, 200} {
			t.Fatalf("approve and deny at once: got %v, want 200 for one and 404 for the other", decisions)
		}
		polled := h.countConcurrent(8, func(i int) bool {
			return h.doAt(replicas[i%2], anonymous, "POST", devicePath+"/token",
				map[string]any{"device_code": codes.device}).status == http.StatusOK
		})
		want := 0
		if decisions[0] == 200 {
			want = 1
		}
		if ok+polled != want {
			t.Errorf("sessions after decisions %v: got %d, want %d", decisions, ok+polled, want)
		}
	}
}

// TestDeviceRaceOfLogoutAndPoll: a logout and the poll at once never leave a session.
func TestDeviceRaceOfLogoutAndPoll(t *testing.T) {
	t.Parallel()
	h := start(t)
	for range 6 {
		ann, codes := h.signUp(), h.requestCodes(nil)
		h.decideDevice(ann.identity, "approve", codes.user).mustStatus(200)
		h.countConcurrent(2, func(i int) bool {
			if i == 0 {
				return h.do(ann.identity, "POST", logoutPath, nil).status == 200
			}
			return h.do(anonymous, "POST", devicePath+"/token", map[string]any{"device_code": codes.device}).status == 200
		})
		if n := query[int](h, `SELECT count(*)::int FROM sessions WHERE user_id = $1 AND ended_at IS NULL`, ann.id); n != 0 {
			t.Errorf("sessions after the logout: got %d, want 0", n)
		}
	}
}

func TestDeviceLimits(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Device.Rate = ratelimit.Rate{Count: 2, Period: time.Hour} })
	ann, bob := h.signUp(), h.signUp()
	codes := h.requestCodes(nil)
	h.requestCodes(nil)
	if a := h.do(anonymous, "POST", devicePath+"/code", nil).want(429, "RATE_LIMITED",
		""); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.do(anonymousFrom("198.51.100.7"), "POST", devicePath+"/code", nil).mustStatus(200)
	for range 10 {
		h.decideDevice(ann.identity, "approve", "BBBB-BBBB").want(404, "DEVICE_CODE_NOT_FOUND", "")
		h.do(ann.identity, "GET", devicePath+"?user_code=x", nil).want(404, "DEVICE_CODE_NOT_FOUND", "")
	}
	h.decideDevice(ann.identity, "approve", codes.user).want(429, "RATE_LIMITED", "")
	h.decideDevice(bob.identity, "approve", codes.user).want(200, "", "")
}

// TestDeviceCodesAreDeleted: codes are deleted some time after they expired.
func TestDeviceCodesAreDeleted(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.CleanupEvery = 50 * time.Millisecond })
	h.requestCodes(nil)
	h.backdate("device_codes", 48*time.Hour, "created_at", "expires_at")
	eventually(t, "the expired code is deleted",
		func() bool { return query[int](h, `SELECT count(*)::int FROM device_codes`) == 0 })
}
