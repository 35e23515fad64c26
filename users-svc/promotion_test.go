package users_test

import (
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// signUpStranger creates an account whose address is never verified, with all the access that such
// an account can have: a session, an auth token and a second factor from the time without a mail
// server.
func (h *harness) signUpStranger(office *testkit.PostOffice) (stranger testUser, secret string) {
	h.t.Helper()
	stranger = h.signUp()
	query[bool](h, `UPDATE users SET email_verified = false WHERE id = $1 RETURNING true`, stranger.id)
	_, secret = h.createToken(stranger.identity, map[string]any{"permission_template": "full_access"})
	h.enableTwoFactor(&stranger, "revoke_tokens", false)
	withMail(office)(&h.cfg)
	h.baseURL = h.startReplica()
	return stranger, secret
}

func TestUnverifiedAccountIsNotPromotedByRequest(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, withMail(office))
	root, email := h.admin(), newEmail()
	h.requestSignUp(email, attackers)
	stranger := query[string](h, `SELECT id FROM users WHERE email = $1`, email)
	for _, method := range []string{"PATCH", "PUT"} {
		for _, body := range []string{
			`{"is_admin":true}`, `{"is_admin":true,"alias":"Boss"}`, `{"is_admin":true,"password":"` + victims + `"}`,
		} {
			h.do(root.identity, method, "/api/v1/users/"+stranger, body).want(409, "ACCOUNT_NOT_VERIFIED",
				"The e-mail address of this account was never verified: whoever signed up with it may not own it")
		}
	}
	a := h.do(root.identity, "GET", "/api/v1/users/"+stranger, nil).mustStatus(200)
	if a.field("is_admin") != false || a.field("alias") == "Boss" {
		t.Errorf("after the refusals: got %s, want nothing changed", a.body)
	}
	token := linkToken(t, office.Await(t, email, 1), "verify-email")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).mustStatus(200)
	h.do(root.identity, "PATCH", "/api/v1/users/"+stranger, `{"is_admin":true}`).want(200, "", "")
}

// TestConcurrentPromotionAndVerification: in either order, an unverified account never is an admin.
func TestConcurrentPromotionAndVerification(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, withMail(office))
	root := h.admin()
	for range 5 {
		email := newEmail()
		h.requestSignUp(email, attackers)
		user := query[string](h, `SELECT id FROM users WHERE email = $1`, email)
		token := linkToken(t, office.Await(t, email, 1), "verify-email")
		var promoted *response
		h.countConcurrent(2, func(i int) bool {
			if i == 0 {
				promoted = h.do(root.identity, "PATCH", "/api/v1/users/"+user, `{"is_admin":true}`)
			} else {
				h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).mustStatus(200)
			}
			return true
		})
		admin := query[bool](h, `SELECT is_admin FROM users WHERE id = $1`, user)
		if promoted.status != 200 && promoted.code != "ACCOUNT_NOT_VERIFIED" || admin != (promoted.status == 200) {
			t.Errorf("promotion: got %d %s, and is_admin %v", promoted.status, promoted.code, admin)
		}
	}
}

// TestPromotionByCommandRevokesStrangersAccess: the stranger's password, session, auth token,
// second factor and mailed link are invalid afterwards.
func TestPromotionByCommandRevokesStrangersAccess(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]func(t *testing.T) []string{
		"with a generated password": func(*testing.T) []string { return nil },
		"with a password in a file": func(t *testing.T) []string {
			return []string{"-password-file", writeFile(t, "password", "The-operators-1\n")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			office := testkit.SMTP(t)
			h := start(t)
			stranger, secret := h.signUpStranger(office)
			h.do(anonymous, "POST", resendPath, map[string]string{"email": stranger.email}).mustStatus(200)
			link := linkToken(t, office.Await(t, stranger.email, 1), "verify-email")
			out, err := h.command("admin create", append([]string{"-email", strings.ToUpper(stranger.email)}, args(t)...)...)
			operators := "The-operators-1"
			if _, made, found := strings.Cut(out, "password: "); found == (args(t) != nil) {
				t.Errorf("a password is printed: %v\n%s", found, out)
			} else if found {
				operators = strings.TrimSpace(made)
			}
			for _, line := range []string{
				"promoted ", stranger.id, "not verified", "revoked sessions: 1, auth tokens: 1, second factor\n",
			} {
				if err != nil || !strings.Contains(out, line) {
					t.Errorf("report: got %v and\n%s\nwant %q in it", err, out, line)
				}
			}
			h.do(anonymous, "POST", verifyPath, map[string]string{"token": link}).want(400, "INVALID_VERIFICATION_TOKEN", "")
			h.tryLogin("198.51.100.7", stranger.email, password).want(401, "INVALID_CREDENTIALS", "")
			if h.alive(stranger) || h.stateOf(secret).Alive {
				t.Errorf("alive: session %v, auth token %v", h.alive(stranger), h.stateOf(secret).Alive)
			}
			if root := h.signIn(stranger.email, operators); !root.identity.Admin {
				t.Error("the operator's password opens no admin")
			}
		})
	}
}

func TestAdminCreateReportsChanges(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	h.createToken(ann.identity, map[string]any{"permission_template": "full_access"})
	file := writeFile(t, "password", "Another-horse-2\n")
	for _, step := range []struct {
		args     []string
		has, not string
	}{
		{[]string{"-email", ann.email}, "promoted ", "password:"},
		{[]string{"-email", ann.email}, "was an admin already\nnothing else of it was changed", "promoted"},
		{[]string{"-email", ann.email, "-password-file", file}, "already\nset its password; revoked sessions: 1", "promoted"},
		{[]string{"-email", ann.email, "-password-file", file}, "revoked sessions: 0", "Another-horse-2"},
		{[]string{"-email", "new@example.com", "-password-file", file}, "created admin new-", "password"},
	} {
		out, err := h.command("admin create", step.args...)
		if err != nil || !strings.Contains(out, step.has) || strings.Contains(out, step.not) {
			t.Errorf("%v: got %v and\n%s\nwant %q and not %q", step.args, err, out, step.has, step.not)
		}
	}
	bob := h.signUp()
	query[bool](h, `UPDATE users SET is_banned = true WHERE id = $1 RETURNING true`, bob.id)
	out, err := h.command("admin create", "-email", bob.email)
	if err == nil || !strings.Contains(err.Error(), "unban it first") {
		t.Errorf("banned: got %q, %v", out, err)
	}
}

// TestVerifiedAdminOfEarlierReleaseLosesPassword: an earlier release promoted unverified accounts.
// The mailed link must not make a stranger's password an admin's.
func TestVerifiedAdminOfEarlierReleaseLosesPassword(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t)
	stranger, secret := h.signUpStranger(office)
	query[bool](h, `UPDATE users SET is_admin = true WHERE id = $1 RETURNING true`, stranger.id)
	h.do(anonymous, "POST", resendPath, map[string]string{"email": stranger.email}).mustStatus(200)
	link := linkToken(t, office.Await(t, stranger.email, 1), "verify-email")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": link}).mustStatus(200)
	h.tryLogin("198.51.100.7", stranger.email, password).want(401, "INVALID_CREDENTIALS", "")
	if h.alive(stranger) || h.stateOf(secret).Alive {
		t.Errorf("alive: session %v, auth token %v", h.alive(stranger), h.stateOf(secret).Alive)
	}
	h.clock.forward(2 * time.Minute)
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": stranger.email}).mustStatus(200)
	reset := linkToken(t, office.Await(t, stranger.email, 2), "reset-password")
	h.do(anonymous, "POST", resetPath, map[string]string{"token": reset, "password": victims}).mustStatus(200)
	if root := h.signIn(stranger.email, victims); !root.identity.Admin {
		t.Error("the owner of the address is no admin")
	}
}

// TestImportCreatesNoAdmin also checks that an import changes no existing account.
func TestImportCreatesNoAdmin(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	query[bool](h, `UPDATE users SET email_verified = false WHERE id = $1 RETURNING true`, ann.id)
	row := func(email, isAdmin string) string {
		return `{"email":"` + email + `","password_hash":"` + foreignHashes["django"] +
			`","is_admin":` + isAdmin + `,"email_verified":true}` + "\n"
	}
	out, err := h.command("import", writeFile(t, "people.jsonl",
		row("boss@example.com", "true")+row("new@example.com", "false")+row(ann.email, "null")))
	admins := query[int](h, `SELECT count(*)::int FROM users WHERE is_admin OR id = $1 AND email_verified`, ann.id)
	if err != nil || admins != 0 || !strings.Contains(out, "1 imported, 2 refused") ||
		!strings.Contains(out, "line 1: is_admin must be false: no account is imported as an admin; make it one with admin create") {
		t.Errorf("got %d, %v and\n%s", admins, err, out)
	}
}

// TestResetOfUnverifiedAccountRevokesAllAccess: the second factor of an account whose address was
// never verified may be a stranger's.
func TestResetOfUnverifiedAccountRevokesAllAccess(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t)
	stranger, secret := h.signUpStranger(office)
	h.reset(office, stranger.email, victims)
	if h.alive(stranger) || h.stateOf(secret).Alive {
		t.Errorf("alive: session %v, auth token %v", h.alive(stranger), h.stateOf(secret).Alive)
	}
	h.tryLogin("198.51.100.7", stranger.email, password).want(401, "INVALID_CREDENTIALS", "")
	owner := h.signIn(stranger.email, victims) // without a code
	if a := h.do(owner.identity, "GET", factorPath+"/status", nil).mustStatus(200); a.field("enabled") != false {
		t.Errorf("second factor: %s", a.body)
	}
	if got := h.events(owner); !strings.Contains(got, "password_reset") || !strings.Contains(got, "tokens_revoked") {
		t.Errorf("history %s", got)
	}
}

// TestResetOfVerifiedAccountKeepsSecondFactor: the mailbox alone does not open a verified account.
func TestResetOfVerifiedAccountKeepsSecondFactor(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	email := newEmail()
	h.requestSignUp(email, password)
	token := linkToken(t, office.Await(t, email, 1), "verify-email")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).mustStatus(200)
	owner := h.signIn(email, password)
	h.enableTwoFactor(&owner)
	h.awaitMailJobs()
	h.reset(office, email, victims)
	if a := h.tryLogin("203.0.113.9", email, victims).mustStatus(200); a.field("requires_2fa") != true || h.alive(owner) {
		t.Errorf("after the reset: got %s, the old session alive: %v; want that a code is asked for", a.body, h.alive(owner))
	}
}

// reset sets a new password by mail.
func (h *harness) reset(office *testkit.PostOffice, email, password string) {
	h.t.Helper()
	before := len(office.To(email))
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": email}).mustStatus(200)
	token := linkToken(h.t.(*testing.T), office.Await(h.t.(*testing.T), email, before+1), "reset-password")
	h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": password}).mustStatus(200)
}
