package users_test

import (
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

const attackers, victims = "Attackers-pass-1", "The-victims-own-1"

func (h *harness) requestSignUp(email, password string) {
	h.t.Helper()
	h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": password}).mustStatus(200)
}

// wantLogins checks which of the two passwords opens the account, by status.
func (h *harness) wantLogins(email string, attacker, victim int) {
	h.t.Helper()
	if a, v := h.tryLogin("198.51.100.7", email, attackers).status,
		h.tryLogin("203.0.113.9", email, victims).status; a != attacker || v != victim {
		h.t.Errorf("logins: with the attacker's password %d, with the victim's %d, want %d and %d", a, v, attacker, victim)
	}
}

// awaitMailJobs waits until no mail job is left: a sign-up between the delivery of a mail and the
// end of its job shares the job.
func (h *harness) awaitMailJobs() {
	h.t.Helper()
	eventually(h.t, "no mail waits", func() bool { return query[int](h, `SELECT count(*)::int FROM mail_jobs`) == 0 })
}

func TestPasswordOfVerifiedSignUpBecomesTheAccounts(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	email := newEmail()
	h.requestSignUp(email, attackers)
	first := linkToken(t, office.Await(t, email, 1), "verify-email")
	h.awaitMailJobs()
	h.clock.forward(2 * time.Minute)
	h.requestSignUp(email, victims)
	second := linkToken(t, office.Await(t, email, 2), "verify-email")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": second}).mustStatus(200)
	h.wantLogins(email, 401, 200)
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": first}).want(400, "INVALID_VERIFICATION_TOKEN", "")
}

// TestOldVerificationMailIsInvalidAfterNewerSignUp: a reader who mistakes it for the answer to the
// newer sign-up has to reset the password.
func TestOldVerificationMailIsInvalidAfterNewerSignUp(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]time.Duration{"before the pause between two mails is over": 0,
		"after it": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			office := testkit.SMTP(t)
			h := start(t, withMail(office))
			email := newEmail()
			h.requestSignUp(email, attackers)
			first := linkToken(t, office.Await(t, email, 1), "verify-email")
			h.awaitMailJobs()
			h.clock.forward(pause)
			h.requestSignUp(email, victims)
			h.awaitMailJobs()
			h.do(anonymous, "POST", verifyPath, map[string]string{"token": first}).mustStatus(200)
			h.wantLogins(email, 401, 401)
		})
	}
}

// TestCoalescedSignUpsLeaveNoPassword: both sign-ups happen while the mail server is down.
func TestCoalescedSignUpsLeaveNoPassword(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	office.Refuse(true)
	h := start(t, withMail(office))
	email := newEmail()
	h.requestSignUp(email, attackers)
	h.requestSignUp(email, victims)
	office.Refuse(false)
	token := linkToken(t, office.Await(t, email, 1), "verify-email")
	h.awaitMailJobs()
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).mustStatus(200)
	h.wantLogins(email, 401, 401)
}

func TestRepeatedSignUpKeepsPassword(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	email := newEmail()
	h.requestSignUp(email, victims)
	first := linkToken(t, office.Await(t, email, 1), "verify-email")
	h.requestSignUp(email, victims)
	h.awaitMailJobs()
	h.clock.forward(2 * time.Minute)
	h.requestSignUp(email, victims)
	office.Await(t, email, 2)
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": first}).mustStatus(200)
	h.wantLogins(email, 401, 200)
}

func TestResentMailCarriesNewestSignUp(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	email := newEmail()
	h.requestSignUp(email, attackers)
	office.Await(t, email, 1)
	h.awaitMailJobs()
	h.clock.forward(2 * time.Minute)
	h.requestSignUp(email, victims)
	office.Await(t, email, 2)
	h.awaitMailJobs()
	h.clock.forward(2 * time.Minute)
	h.do(anonymous, "POST", resendPath, map[string]string{"email": email}).mustStatus(200)
	h.do(anonymous, "POST", verifyPath,
		map[string]string{"token": linkToken(t, office.Await(t, email, 3), "verify-email")}).mustStatus(200)
	h.wantLogins(email, 401, 200)
}

// TestVerificationRevokesEarlierAccess: without a mail server an unverified account can have been
// used. A later sign-up does not open it: the reader of the mail may be its user, who never signed
// up, and the data in it are not the stranger's.
func TestVerificationRevokesEarlierAccess(t *testing.T) {
	t.Parallel()
	for name, prove := range map[string]func(h *harness, office *testkit.PostOffice, email string) (login int){
		"by a sign-up": func(h *harness, office *testkit.PostOffice, email string) int {
			h.requestSignUp(email, victims)
			token := linkToken(h.t.(*testing.T), office.Await(h.t.(*testing.T), email, 1), "verify-email")
			h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).mustStatus(200)
			return 401
		},
		"by a new password": func(h *harness, office *testkit.PostOffice, email string) int {
			h.do(anonymous, "POST", forgotPath, map[string]string{"email": email}).mustStatus(200)
			token := linkToken(h.t.(*testing.T), office.Await(h.t.(*testing.T), email, 1), "reset-password")
			h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": victims}).mustStatus(200)
			return 200
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			office := testkit.SMTP(t)
			h := start(t)
			ann := h.signUp()
			query[bool](h, `UPDATE users SET email_verified = false WHERE id = $1 RETURNING true`, ann.id)
			_, secret := h.createToken(ann.identity, map[string]any{"permission_template": "full_access"})
			withMail(office)(&h.cfg)
			h.baseURL = h.startReplica()
			login := prove(h, office, ann.email)
			if h.stateOf(secret).Alive || h.alive(ann) {
				t.Errorf("alive: auth token %v, session %v, want neither", h.stateOf(secret).Alive, h.alive(ann))
			}
			h.wantLogins(ann.email, 401, login)
			h.tryLogin("203.0.113.10", ann.email, password).want(401, "INVALID_CREDENTIALS", "")
		})
	}
}
