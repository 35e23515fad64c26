package users_test

import (
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// squatted signs a stranger up with an address that is never verified, with everything that such an
// account can have: a session, an auth token and a second factor of the time without a mail server.
func (h *harness) squatted(office *testkit.PostOffice) (stranger person, secret string) {
	h.t.Helper()
	stranger = h.signUp()
	query[bool](h, `UPDATE users SET email_verified = false WHERE id = $1 RETURNING true`, stranger.id)
	_, secret = h.issue(stranger.identity, map[string]any{"permission_template": "full_access"})
	h.secure(&stranger, "revoke_tokens", false)
	mailing(office)(&h.cfg)
	h.url = h.replica()
	return stranger, secret
}

func TestAnUnverifiedAccountIsNotPromotedByRequest(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, mailing(office))
	root, email := h.admin(), newEmail()
	h.asksToSignUp(email, attackers)
	stranger := query[string](h, `SELECT id FROM users WHERE email = $1`, email)
	for _, method := range []string{"PATCH", "PUT"} {
		for _, body := range []string{
			`{"is_admin":true}`, `{"is_admin":true,"alias":"Boss"}`, `{"is_admin":true,"password":"` + victims + `"}`,
		} {
			h.do(root.identity, method, "/api/v1/users/"+stranger, body).want(409, "ACCOUNT_NOT_VERIFIED",
				"The e-mail address of this account was never verified: whoever signed up with it may not own it")
		}
	}
	a := h.do(root.identity, "GET", "/api/v1/users/"+stranger, nil).must(200)
	if a.at("is_admin") != false || a.at("alias") == "Boss" {
		t.Errorf("after the refusals: got %s, want nothing changed", a.body)
	}
	token := tokenIn(t, office.Await(t, email, 1), "verify-email")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).must(200)
	h.do(root.identity, "PATCH", "/api/v1/users/"+stranger, `{"is_admin":true}`).want(200, "", "")
}

// TestPromotionAndVerificationAtOnce: whichever comes first, an unverified account is never an
// admin.
func TestPromotionAndVerificationAtOnce(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, mailing(office))
	root := h.admin()
	for range 5 {
		email := newEmail()
		h.asksToSignUp(email, attackers)
		user := query[string](h, `SELECT id FROM users WHERE email = $1`, email)
		token := tokenIn(t, office.Await(t, email, 1), "verify-email")
		var promoted *answer
		h.count(2, func(i int) bool {
			if i == 0 {
				promoted = h.do(root.identity, "PATCH", "/api/v1/users/"+user, `{"is_admin":true}`)
			} else {
				h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).must(200)
			}
			return true
		})
		admin := query[bool](h, `SELECT is_admin FROM users WHERE id = $1`, user)
		if promoted.status != 200 && promoted.code != "ACCOUNT_NOT_VERIFIED" || admin != (promoted.status == 200) {
			t.Errorf("promotion: got %d %s, and is_admin %v", promoted.status, promoted.code, admin)
		}
	}
}

// TestWhatACommandPromotesIsNobodyElses: the stranger's password, session, auth token, second
// factor and the link in the mail are worth nothing afterwards.
func TestWhatACommandPromotesIsNobodyElses(t *testing.T) {
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
			stranger, secret := h.squatted(office)
			h.do(anonymous, "POST", resendPath, map[string]string{"email": stranger.email}).must(200)
			link := tokenIn(t, office.Await(t, stranger.email, 1), "verify-email")
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

func TestTheCommandReportsWhatItChanged(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	h.issue(ann.identity, map[string]any{"permission_template": "full_access"})
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

// TestAnAdminOfAnEarlierReleaseWhoseAddressIsVerifiedHasNoPassword: that release promoted accounts
// whose creator could be anybody; the link in the mail must not make that password an admin's.
func TestAnAdminOfAnEarlierReleaseWhoseAddressIsVerifiedHasNoPassword(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t)
	stranger, secret := h.squatted(office)
	query[bool](h, `UPDATE users SET is_admin = true WHERE id = $1 RETURNING true`, stranger.id)
	h.do(anonymous, "POST", resendPath, map[string]string{"email": stranger.email}).must(200)
	link := tokenIn(t, office.Await(t, stranger.email, 1), "verify-email")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": link}).must(200)
	h.tryLogin("198.51.100.7", stranger.email, password).want(401, "INVALID_CREDENTIALS", "")
	if h.alive(stranger) || h.stateOf(secret).Alive {
		t.Errorf("alive: session %v, auth token %v", h.alive(stranger), h.stateOf(secret).Alive)
	}
	h.clock.forward(2 * time.Minute)
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": stranger.email}).must(200)
	reset := tokenIn(t, office.Await(t, stranger.email, 2), "reset-password")
	h.do(anonymous, "POST", resetPath, map[string]string{"token": reset, "password": victims}).must(200)
	if root := h.signIn(stranger.email, victims); !root.identity.Admin {
		t.Error("the owner of the address is no admin")
	}
}

// TestAnImportMakesNoAdmin, and changes no account that there is.
func TestAnImportMakesNoAdmin(t *testing.T) {
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

// TestAResetLeavesNothingOfAStranger: of an account whose address was never verified, the second
// factor is not its owner's either.
func TestAResetLeavesNothingOfAStranger(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t)
	stranger, secret := h.squatted(office)
	h.reset(office, stranger.email, victims)
	if h.alive(stranger) || h.stateOf(secret).Alive {
		t.Errorf("alive: session %v, auth token %v", h.alive(stranger), h.stateOf(secret).Alive)
	}
	h.tryLogin("198.51.100.7", stranger.email, password).want(401, "INVALID_CREDENTIALS", "")
	owner := h.signIn(stranger.email, victims) // without a code
	if a := h.do(owner.identity, "GET", factorPath+"/status", nil).must(200); a.at("enabled") != false {
		t.Errorf("second factor: %s", a.body)
	}
	if got := h.events(owner); !strings.Contains(got, "password_reset") || !strings.Contains(got, "tokens_revoked") {
		t.Errorf("history %s", got)
	}
}

// TestAResetKeepsTheOwnersSecondFactor: the mailbox alone does not open a verified account.
func TestAResetKeepsTheOwnersSecondFactor(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, mailing(office))
	email := newEmail()
	h.asksToSignUp(email, password)
	token := tokenIn(t, office.Await(t, email, 1), "verify-email")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).must(200)
	owner := h.signIn(email, password)
	h.secure(&owner)
	h.mailed()
	h.reset(office, email, victims)
	if a := h.tryLogin("203.0.113.9", email, victims).must(200); a.at("requires_2fa") != true || h.alive(owner) {
		t.Errorf("after the reset: got %s, the old session alive: %v; want that a code is asked for", a.body, h.alive(owner))
	}
}

// reset sets a password by mail.
func (h *harness) reset(office *testkit.PostOffice, email, password string) {
	h.t.Helper()
	before := len(office.To(email))
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": email}).must(200)
	token := tokenIn(h.t.(*testing.T), office.Await(h.t.(*testing.T), email, before+1), "reset-password")
	h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": password}).must(200)
}
