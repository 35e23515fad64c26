package users_test

import (
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

const emailPath = "/api/v1/users/me/email"

func (h *harness) changeEmail(u testUser, email string) *response {
	h.t.Helper()
	return h.do(u.identity, "POST", emailPath, map[string]any{"email": email, "password": password})
}

// verifiedUser signs a user up and verifies the address by the mail.
func (h *harness) verifiedUser(t *testing.T, office *testkit.PostOffice) testUser {
	h.t.Helper()
	email := newEmail()
	h.do(anonymous, "POST", signupPath, map[string]any{"email": email, "password": password}).mustStatus(200)
	h.redeemLink(t, office.Await(t, email, 1)).mustStatus(200)
	return h.signIn(email, password)
}

func (h *harness) redeemLink(t *testing.T, m testkit.Mail) *response {
	t.Helper()
	return h.do(anonymous, "POST", verifyPath, map[string]any{"token": linkToken(t, m, "verify-email")})
}

func (h *harness) emailOf(u testUser) string {
	h.t.Helper()
	return query[string](h, `SELECT email FROM users WHERE id = $1`, u.id)
}

func TestEmailChangeWithoutMailServer(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann, bob := h.signUp(), h.signUp()
	for _, c := range []struct {
		name   string
		body   map[string]any
		status int
		code   string
	}{
		{"no password", map[string]any{"email": newEmail()}, 400, "CURRENT_PASSWORD_REQUIRED"},
		{"a wrong password", map[string]any{"email": newEmail(), "password": "Wrong-horse-1"}, 400,
			"CURRENT_PASSWORD_INCORRECT"},
		{"no address", map[string]any{"password": password}, 400, "VALIDATION_ERROR"},
		{"a malformed address", map[string]any{"email": "x", "password": password}, 400, "VALIDATION_ERROR"},
		{"a taken address", map[string]any{"email": strings.ToUpper(bob.email), "password": password}, 409, "EMAIL_TAKEN"},
	} {
		a := h.do(ann.identity, "POST", emailPath, c.body)
		a.request = c.name
		a.want(c.status, c.code, "")
	}
	_, secret := h.createToken(ann.identity, nil)
	h.do(h.tokenIdentity(secret), "POST", emailPath, map[string]any{"email": newEmail(), "password": password}).
		want(403, "INSUFFICIENT_PERMISSIONS", "")
	next := newEmail()
	h.changeEmail(ann, next).want(200, "", "Email changed successfully")
	h.signIn(next, password)
	h.do(anonymous, "POST", loginPath, map[string]any{"email": ann.email, "password": password}).want(401,
		"INVALID_CREDENTIALS", "")
	if got := h.events(ann); !strings.Contains(got, "email_changed") || !h.alive(ann) {
		t.Errorf("security history: got %s, want email_changed; session alive: %v", got, h.alive(ann))
	}
	wanted := newEmail()
	if won := h.countConcurrent(8, func(i int) bool {
		return h.changeEmail([]testUser{ann, bob}[i%2], wanted).status == 200
	}); won != 4 {
		t.Errorf("changes of two users to one address: got %d that succeeded, want the 4 of one user", won)
	}
}

func TestEmailChangeByMail(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	ann, bob := h.verifiedUser(t, office), h.verifiedUser(t, office)
	first, second := newEmail(), newEmail()
	h.changeEmail(ann, first).want(200, "", "A link was sent to the new address")
	oldLink := office.Await(t, first, 1)
	notice := office.Await(t, ann.email, 2)
	if got := h.emailOf(ann); got != ann.email {
		t.Fatalf("address before the link is used: got %s, want %s", got, ann.email)
	}
	h.changeEmail(ann, second).mustStatus(200)
	link := office.Await(t, second, 1)
	h.redeemLink(t, oldLink).want(400, "INVALID_VERIFICATION_TOKEN", "")
	a := h.redeemLink(t, link).want(200, "", "Email verified successfully")
	if a.text("email") != second || h.emailOf(ann) != second || !h.alive(ann) {
		t.Errorf("after the link: got %s and %s, want %s and the session alive", a.body, h.emailOf(ann), second)
	}
	h.redeemLink(t, link).want(400, "INVALID_VERIFICATION_TOKEN", "")

	// The owner of a taken address gets a notice without a link, and the requester the same answer.
	h.changeEmail(ann, bob.email).want(200, "", "A link was sent to the new address")
	if m := office.Await(t, bob.email, 2); linkPattern.MatchString(m.Body) {
		t.Errorf("mail to the owner of a taken address: got a link\n%s", m.Body)
	}

	// The notice to the first address puts it back, six days later and after another change.
	h.clock.forward(6 * 24 * time.Hour)
	intruder := h.signIn(second, password)
	h.redeemLink(t, notice).want(200, "", "")
	if got := h.emailOf(ann); got != ann.email || h.alive(intruder) || h.alive(ann) {
		t.Errorf("after the undo: got %s, want %s and no session alive", got, ann.email)
	}
	if got := h.events(h.signIn(ann.email, password)); !strings.Contains(got, "email_change_undone") {
		t.Errorf("security history: got %s, want email_change_undone", got)
	}
}

// TestEmailUndoBeatsLaterAddresses: the notice to the oldest address still works after one to a
// later address was used, and makes that one void.
func TestEmailUndoBeatsLaterAddresses(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	ann := h.verifiedUser(t, office)
	b, c := newEmail(), newEmail()
	h.changeEmail(ann, b).mustStatus(200)
	undoA := office.Await(t, ann.email, 2)
	h.redeemLink(t, office.Await(t, b, 1)).mustStatus(200)
	h.changeEmail(ann, c).mustStatus(200)
	undoB := office.Await(t, b, 2)
	h.redeemLink(t, office.Await(t, c, 1)).mustStatus(200)
	// A stranger signs up with the old address, and cannot keep it: it was never verified.
	h.do(anonymous, "POST", signupPath, map[string]any{"email": ann.email, "password": password}).mustStatus(200)
	h.redeemLink(t, undoA).want(200, "", "")
	h.redeemLink(t, undoB).want(400, "INVALID_VERIFICATION_TOKEN", "")
	if got := h.emailOf(ann); got != ann.email {
		t.Errorf("address: got %s, want %s", got, ann.email)
	}
	late := newEmail()
	h.changeEmail(h.signIn(ann.email, password), late).mustStatus(200)
	m := office.Await(t, late, 1)
	undo := office.To(ann.email)
	h.clock.forward(8 * 24 * time.Hour)
	h.redeemLink(t, m).want(400, "INVALID_VERIFICATION_TOKEN", "")
	h.redeemLink(t, undo[len(undo)-1]).want(400, "INVALID_VERIFICATION_TOKEN", "")
}

// TestEmailTakenMeanwhile: two users have links to one address; the second to use its link is told.
func TestEmailTakenMeanwhile(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	ann, bob := h.verifiedUser(t, office), h.verifiedUser(t, office)
	wanted := newEmail()
	h.changeEmail(ann, wanted).mustStatus(200)
	h.changeEmail(bob, wanted).mustStatus(200)
	office.Await(t, wanted, 2)
	links := office.To(wanted)
	var codes [2]string
	h.countConcurrent(2, func(i int) bool {
		a := h.redeemLink(t, links[i])
		codes[i] = a.code
		return a.status == 200
	})
	if codes != [2]string{"", "EMAIL_TAKEN"} && codes != [2]string{"EMAIL_TAKEN", ""} {
		t.Errorf("two links to one address at once: got %q, want one success and one EMAIL_TAKEN", codes)
	}
}

// TestEmailChangeMailsAreNotForThePreviousRelease: replicas of the previous release take jobs by
// not_before alone, and do not know these kinds.
func TestEmailChangeMailsAreNotForThePreviousRelease(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	ann := h.verifiedUser(t, office)
	office.Refuse(true)
	h.changeEmail(ann, newEmail()).mustStatus(200)
	for range 2 {
		if n := query[int](h, `SELECT count(*)::int FROM mail_jobs WHERE not_before <> 'infinity'`); n != 0 {
			t.Errorf("jobs that the previous release would take: got %d, want 0", n)
		}
		eventually(t, "a mail was tried", func() bool {
			return query[int](h, `SELECT coalesce(max(attempts), 0)::int FROM mail_jobs`) > 0
		})
	}
}
