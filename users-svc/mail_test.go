package users_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

// withMail makes the service send its mails to the office.
func withMail(office *testkit.PostOffice) func(*users.Config) {
	return func(c *users.Config) {
		c.Mail.URL, c.Mail.PublicURL = config.Secret("smtp://"+office.Addr+"?tls=off"), "https://realmgate.example"
		c.Mail.RetryAfter = 50 * time.Millisecond
	}
}

var linkPattern = regexp.MustCompile(`https://realmgate\.example/(verify-email|reset-password)#token=([A-Za-z0-9_-]{43})`)

// linkToken returns the token of the link in a mail. The text and the HTML part must hold the same
// link.
func linkToken(t *testing.T, m testkit.Mail, page string) string {
	t.Helper()
	found := linkPattern.FindAllStringSubmatch(m.Body, -1)
	if len(found) < 2 || found[0][1] != page || found[0][2] != found[1][2] {
		t.Fatalf("links in the mail: got %v, want one to %s in text and HTML\n%s", found, page, m.Body)
	}
	return found[0][2]
}

// mailPause is the least time between two mails of a kind to an address.
const mailPause = time.Minute

const (
	verifyPath = "/api/v1/auth/verify-email"
	resendPath = "/api/v1/auth/resend-verification"
	forgotPath = "/api/v1/auth/forgot-password"
	resetPath  = "/api/v1/auth/reset-password"
)

func TestVerificationByMail(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	email := newEmail()
	credentials := map[string]string{"email": email, "password": password}
	h.do(anonymous, "POST", signupPath, credentials).mustStatus(200)
	first := office.Await(t, email, 1)
	a := h.do(anonymous, "POST", loginPath, credentials).
		want(401, "EMAIL_NOT_VERIFIED", "Email not verified. Please check your inbox or request a new verification link.")
	if a.field("email") != email || !strings.Contains(string(a.body), `"error":"EMAIL_NOT_VERIFIED"`) {
		t.Errorf("login before verification: got %s", a.body)
	}
	h.do(anonymous, "POST", loginPath, map[string]string{"email": email, "password": "Wrong-horse-1"}).want(401,
		"INVALID_CREDENTIALS", "")
	h.do(anonymous, "POST", resendPath, map[string]string{"email": email}).
		want(200, "", "If the account exists, a verification email has been sent")
	jobs := h.database()
	eventually(t, "the mail asked for within the minute is decided", func() bool {
		var n int
		return jobs.QueryRow(t.Context(), `SELECT count(*) FROM mail_jobs`).Scan(&n) == nil && n == 0
	})
	h.clock.forward(2 * time.Minute)
	h.do(anonymous, "POST", resendPath, map[string]string{"email": strings.ToUpper(email)}).want(200, "", "")
	second := office.Await(t, email, 2)
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": "nonsense"}).
		want(400, "INVALID_VERIFICATION_TOKEN", "Invalid or expired verification token")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": linkToken(t, second, "verify-email")}).want(200, "",
		"Email verified successfully")
	for _, used := range []testkit.Mail{first, second} {
		h.do(anonymous, "POST", verifyPath, map[string]string{"token": linkToken(t, used, "verify-email")}).want(400,
			"INVALID_VERIFICATION_TOKEN", "")
	}
	h.signIn(email, password)
	if n := len(office.To(email)); n != 2 {
		t.Errorf("mails: got %d, want 2: a second within the minute must not be sent", n)
	}
	h.do(anonymous, "POST", signupPath, credentials).mustStatus(200)
	if known := office.Await(t, email, 3); !strings.Contains(known.Body, "has an account already") ||
		linkPattern.MatchString(known.Body) {
		t.Errorf("mail to a known address: got %s, want that there is an account, and no token", known.Body)
	}
}

func TestResetByMail(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, withMail(office))
	ann := h.admin()
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": adminEmail}).
		want(200, "", "If the account exists, a password reset email has been sent")
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": "nobody@example.com"}).want(200, "", "")
	token := linkToken(t, office.Await(t, adminEmail, 1), "reset-password")
	const next = "Another-horse-2"
	h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": "weak"}).want(400, "WEAK_PASSWORD",
		"")
	h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).want(400, "INVALID_VERIFICATION_TOKEN", "")
	won := h.countConcurrent(10, func(int) bool {
		return h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": next}).status == 200
	})
	if won != 1 || h.alive(ann) {
		t.Errorf("resets with one token: got %d, want 1; old session alive: %v", won, h.alive(ann))
	}
	h.do(anonymous, "POST", loginPath, map[string]string{"email": adminEmail, "password": password}).want(401,
		"INVALID_CREDENTIALS", "")
	h.signIn(adminEmail, next)

	h.clock.forward(2 * time.Minute)
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": adminEmail}).mustStatus(200)
	late := linkToken(t, office.Await(t, adminEmail, 2), "reset-password")
	h.clock.forward(time.Hour)
	h.do(anonymous, "POST", resetPath, map[string]string{"token": late, "password": password}).want(400,
		"INVALID_RESET_TOKEN", "Invalid or expired reset token")
	if len(office.To("nobody@example.com")) != 0 {
		t.Error("an address without an account got a mail")
	}
}

// TestPasswordResetUnlocksAccount: a reset deletes the failure count of the account and that of the
// address from which the password is set.
func TestPasswordResetUnlocksAccount(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, withMail(office))
	h.admin() // known from 192.0.2.1, from which the reset comes
	addresses := []string{"192.0.2.1", "198.51.100.7"}
	for _, address := range addresses {
		for range 10 {
			h.tryLogin(address, adminEmail, "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
		}
		h.tryLogin(address, adminEmail, password).want(429, "RATE_LIMITED", "")
	}
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": adminEmail}).mustStatus(200)
	token := linkToken(t, office.Await(t, adminEmail, 1), "reset-password")
	h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": "Another-horse-2"}).mustStatus(200)
	for _, address := range addresses {
		h.tryLogin(address, adminEmail, "Another-horse-2").want(200, "", "")
	}
}

func TestPasswordChangeInvalidatesResetLink(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, withMail(office))
	root := h.admin()
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": adminEmail}).mustStatus(200)
	token := linkToken(t, office.Await(t, adminEmail, 1), "reset-password")
	h.do(root.identity, "PATCH", "/api/v1/users/"+root.id,
		map[string]any{"password": "Another-horse-2", "current_password": password}).mustStatus(200)
	h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": "Attackers-pass-3"}).want(400,
		"INVALID_RESET_TOKEN", "")
}

// TestConcurrentlyInvalidatedResetLinkIsRefused: the account's row is locked first, so that two
// changes of it do not deadlock.
func TestConcurrentlyInvalidatedResetLinkIsRefused(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, withMail(office))
	root := h.admin()
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": adminEmail}).mustStatus(200)
	token := linkToken(t, office.Await(t, adminEmail, 1), "reset-password")
	reset := func() *response {
		return h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": "Another-horse-2"})
	}
	h.doWhileLocked(root.id, reset, `SELECT set_config('lock_timeout', '100ms', true) WHERE $1 <> ''`,
		`DELETE FROM mail_tokens WHERE user_id = $1`).
		want(400, "INVALID_RESET_TOKEN", "")
	h.signIn(adminEmail, password)
}

func TestMailsToAddressAreLimited(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, withMail(office))
	for range 5 {
		h.requestSignUp(adminEmail, password)
		h.awaitMailJobs()
	}
	if n := len(office.To(adminEmail)); n != 1 {
		t.Errorf("mails within a minute: got %d, want 1", n)
	}
	h.clock.forward(mailPause + time.Second)
	h.requestSignUp(adminEmail, password)
	office.Await(t, adminEmail, 2)
}

func TestMailRules(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, path := range []string{resendPath, forgotPath} {
		for _, body := range []string{``, `{"email":1}`, `{"email":null}`, `{"email":"x"}`, `{"email":"a\u0000@b.c"}`, `[`} {
			h.do(anonymous, "POST", path, body).want(400, "VALIDATION_ERROR", "")
		}
		h.do(anonymous, "POST", path, `{"email":"a@b.c"}`).want(200, "", "") // also without a mail server
	}
	for _, path := range []string{verifyPath, resetPath} {
		for _, body := range []string{``, `{"token":1,"password":"` + password + `"}`,
			`{"token":"","password":"` + password + `"}`, `{"token":"\u0000","password":"` + password + `"}`,
			`{"password":"` + password + `","token":"` + strings.Repeat("x", 513) + `"}`} {
			h.do(anonymous, "POST", path, body).want(400, "VALIDATION_ERROR", "")
		}
	}
	h.do(anonymous, "POST", resetPath, `{"token":"x","password":7}`).want(400, "VALIDATION_ERROR", "")
}

func TestMailIsRetried(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	office.Refuse(true)
	h := start(t, withMail(office))
	email := newEmail()
	h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": password}).mustStatus(200)
	time.Sleep(300 * time.Millisecond)
	office.Refuse(false)
	linkToken(t, office.Await(t, email, 1), "verify-email")
}

// TestNewRequestRetriesWaitingMail: the pauses between attempts may have grown to hours when the
// mail server is back.
func TestNewRequestRetriesWaitingMail(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	office.Refuse(true)
	h := start(t, withAdmin, withMail(office), func(c *users.Config) { c.Mail.RetryAfter = time.Hour })
	tries := func() int {
		return query[int](h, `SELECT coalesce(sum(attempts), 0)::int FROM mail_jobs WHERE leased_until IS NULL`)
	}
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": adminEmail}).mustStatus(200)
	eventually(t, "a first try", func() bool { return tries() == 1 })
	h.backdate("mail_jobs", time.Hour, "not_before")
	eventually(t, "a second try", func() bool { return tries() == 2 })
	office.Refuse(false)
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": adminEmail}).mustStatus(200)
	office.Await(t, adminEmail, 1)
	h.awaitMailJobs()
}

// TestLeasedMailIsNotSentTwice: a mail that a replica is sending is left to it until its lease
// ends, however often it is requested.
func TestLeasedMailIsNotSentTwice(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withAdmin, withMail(office))
	now := h.clock.now()
	query[string](h, `INSERT INTO mail_jobs (kind, email_key, attempts, not_before, created_at, leased_until) VALUES ('reset', $1, 1, $3, $2, $3) RETURNING kind`,
		adminEmail, now, now.Add(2*time.Minute))
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": adminEmail}).mustStatus(200)
	time.Sleep(300 * time.Millisecond)
	if n := len(office.To(adminEmail)); n != 0 {
		t.Errorf("mails: got %d, want none while another replica is at it", n)
	}
	h.clock.forward(24 * time.Hour) // the clock of this replica does not end the other one's lease
	time.Sleep(300 * time.Millisecond)
	if n := len(office.To(adminEmail)); n != 0 {
		t.Errorf("mails: got %d, want none while the database holds another replica to be at it", n)
	}
	h.backdate("mail_jobs", 2*time.Minute+time.Second, "not_before", "leased_until")
	office.Await(t, adminEmail, 1)
}

func TestMailedLinksServePages(t *testing.T) {
	t.Parallel()
	h := start(t)
	signed, err := h.internalKeys.Sign(anonymous, users.Name)
	if err != nil {
		t.Fatal(err)
	}
	for page, posts := range map[string]string{"/verify-email": verifyPath, "/reset-password": resetPath} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", h.baseURL+page, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(auth.IdentityHeader, signed)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || !strings.Contains(string(body), `fetch("`+posts[1:]+`"`) {
			t.Errorf("%s: got %d, %v, want a page that posts to %s", page, res.StatusCode, err, posts)
		}
		if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") ||
			!strings.Contains(policy, "script-src 'sha256-") {
			t.Errorf("%s: Content-Security-Policy: got %q", page, policy)
		}
	}
}
