package users_test

import (
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

const attackers, victims = "Attackers-pass-1", "The-victims-own-1"

func (h *harness) asksToSignUp(email, password string) {
	h.t.Helper()
	h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": password}).must(200)
}

// opens checks which of the two passwords opens the account.
func (h *harness) opens(email string, attacker, victim int) {
	h.t.Helper()
	if a, v := h.tryLogin("198.51.100.7", email, attackers).status,
		h.tryLogin("203.0.113.9", email, victims).status; a != attacker || v != victim {
		h.t.Errorf("logins: with the attacker's password %d, with the victim's %d, want %d and %d", a, v, attacker, victim)
	}
}

// mailed waits until no mail is on its way: a sign-up that comes between the delivery of a mail and
// the end of its job shares the job.
func (h *harness) mailed() {
	h.t.Helper()
	eventually(h.t, "no mail waits", func() bool { return query[int](h, `SELECT count(*)::int FROM mail_jobs`) == 0 })
}

func TestThePasswordOfTheSignUpWhoseMailIsReadCounts(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, mailing(office))
	email := newEmail()
	h.asksToSignUp(email, attackers)
	first := tokenIn(t, office.Await(t, email, 1), "verify-email")
	h.mailed()
	h.clock.forward(2 * time.Minute)
	h.asksToSignUp(email, victims)
	second := tokenIn(t, office.Await(t, email, 2), "verify-email")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": second}).must(200)
	h.opens(email, 401, 200)
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": first}).want(400, "INVALID_VERIFICATION_TOKEN", "")
}

// TestAnOldMailOpensNothingForWhoSignedUpFirst: a reader who takes it for the answer to the newer
// sign-up has to ask for a password.
func TestAnOldMailOpensNothingForWhoSignedUpFirst(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]time.Duration{"before the pause between two mails is over": 0,
		"after it": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			office := testkit.SMTP(t)
			h := start(t, mailing(office))
			email := newEmail()
			h.asksToSignUp(email, attackers)
			first := tokenIn(t, office.Await(t, email, 1), "verify-email")
			h.mailed()
			h.clock.forward(pause)
			h.asksToSignUp(email, victims)
			h.mailed()
			h.do(anonymous, "POST", verifyPath, map[string]string{"token": first}).must(200)
			h.opens(email, 401, 401)
		})
	}
}

// TestTwoSignUpsForOneMailOpenNothing: the mail server is away while the two come.
func TestTwoSignUpsForOneMailOpenNothing(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	office.Refuse(true)
	h := start(t, mailing(office))
	email := newEmail()
	h.asksToSignUp(email, attackers)
	h.asksToSignUp(email, victims)
	office.Refuse(false)
	token := tokenIn(t, office.Await(t, email, 1), "verify-email")
	h.mailed()
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).must(200)
	h.opens(email, 401, 401)
}

func TestWhoSignsUpTwiceIsOnePerson(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, mailing(office))
	email := newEmail()
	h.asksToSignUp(email, victims)
	first := tokenIn(t, office.Await(t, email, 1), "verify-email")
	h.asksToSignUp(email, victims)
	h.mailed()
	h.clock.forward(2 * time.Minute)
	h.asksToSignUp(email, victims)
	office.Await(t, email, 2)
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": first}).must(200)
	h.opens(email, 401, 200)
}

func TestAMailAskedForAgainCarriesTheNewestSignUp(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, mailing(office))
	email := newEmail()
	h.asksToSignUp(email, attackers)
	office.Await(t, email, 1)
	h.mailed()
	h.clock.forward(2 * time.Minute)
	h.asksToSignUp(email, victims)
	office.Await(t, email, 2)
	h.mailed()
	h.clock.forward(2 * time.Minute)
	h.do(anonymous, "POST", resendPath, map[string]string{"email": email}).must(200)
	h.do(anonymous, "POST", verifyPath,
		map[string]string{"token": tokenIn(t, office.Await(t, email, 3), "verify-email")}).must(200)
	h.opens(email, 401, 200)
}

// TestWhatSomebodyHadBeforeTheAddressWasProvedIsGone: an account whose address is not verified can
// have been used, without a mail server. A sign-up does not open it: who follows the link may be
// its user, who never signed up, and what is in it is not the stranger's.
func TestWhatSomebodyHadBeforeTheAddressWasProvedIsGone(t *testing.T) {
	t.Parallel()
	for name, prove := range map[string]func(h *harness, office *testkit.PostOffice, email string) (login int){
		"by a sign-up": func(h *harness, office *testkit.PostOffice, email string) int {
			h.asksToSignUp(email, victims)
			token := tokenIn(h.t.(*testing.T), office.Await(h.t.(*testing.T), email, 1), "verify-email")
			h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).must(200)
			return 401
		},
		"by a new password": func(h *harness, office *testkit.PostOffice, email string) int {
			h.do(anonymous, "POST", forgotPath, map[string]string{"email": email}).must(200)
			token := tokenIn(h.t.(*testing.T), office.Await(h.t.(*testing.T), email, 1), "reset-password")
			h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": victims}).must(200)
			return 200
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			office := testkit.SMTP(t)
			h := start(t)
			ann := h.signUp()
			query[bool](h, `UPDATE users SET email_verified = false WHERE id = $1 RETURNING true`, ann.id)
			_, secret := h.issue(ann.identity, map[string]any{"permission_template": "full_access"})
			mailing(office)(&h.cfg)
			h.url = h.replica()
			login := prove(h, office, ann.email)
			if h.stateOf(secret).Alive || h.alive(ann) {
				t.Errorf("alive: auth token %v, session %v, want neither", h.stateOf(secret).Alive, h.alive(ann))
			}
			h.opens(ann.email, 401, login)
			h.tryLogin("203.0.113.10", ann.email, password).want(401, "INVALID_CREDENTIALS", "")
		})
	}
}
