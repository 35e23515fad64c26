package users_test

import (
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

// TestPermanentlyRefusedMailIsNotRetried: the job ends with the first reply, and a new request
// starts a new job.
func TestPermanentlyRefusedMailIsNotRetried(t *testing.T) {
	t.Parallel()
	for _, code := range []int{550, 551, 553, 554} {
		office := testkit.SMTP(t)
		office.Reject(code)
		h := start(t, withMail(office))
		email := newEmail()
		h.requestSignUp(email, password)
		h.awaitMailJobs() // a retry would wait for hours
		office.Reject(0)
		h.do(anonymous, "POST", resendPath, map[string]string{"email": email}).mustStatus(200)
		linkToken(t, office.Await(t, email, 1), "verify-email")
		h.awaitMailJobs()
		for outcome, want := range map[string]float64{"refused": 1, "sent": 1, "delayed": 0, "given_up": 0} {
			if got := h.mailCount(outcome); got != want {
				t.Errorf("mails %s after a %d: counted %v, want %v", outcome, code, got, want)
			}
		}
	}
}

// mailCount returns how many attempts to send a mail had the outcome.
func (h *harness) mailCount(outcome string) float64 {
	h.t.Helper()
	families, err := h.metrics.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "mails_total" && m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

func TestMailServerAuthenticationErrorIsRetried(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	office.Reject(530)
	h := start(t, withMail(office))
	email := newEmail()
	h.requestSignUp(email, password)
	eventually(t, "a second try", func() bool {
		return query[int](h, `SELECT coalesce(max(attempts), 0)::int FROM mail_jobs`) >= 2
	})
	if h.mailCount("delayed") < 1 || h.mailCount("refused") != 0 {
		t.Errorf("counted %v delayed and %v refused", h.mailCount("delayed"), h.mailCount("refused"))
	}
	office.Reject(0)
	office.Await(t, email, 1)
}

func TestMessageIDHidesHost(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office), func(c *users.Config) { c.Mail.From = "Realmgate <no-reply@b\u00fccher.example>" })
	email := newEmail()
	h.requestSignUp(email, password)
	if m := office.Await(t, email, 1); !strings.HasSuffix(m.MessageID, "@xn--bcher-kva.example>") {
		t.Errorf("Message-ID: got %s, want the domain of MAIL_FROM in it", m.MessageID)
	}
}

func TestMailTestCommand(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	out, err := h.command("mail test", "Ops@B\u00fccher.example")
	for _, line := range []string{"S: 250 2.0.0 I'll make sure", "C: RCPT TO:<Ops@xn--bcher-kva.example>",
		"sent: the mail server took the mail"} {
		if err != nil || !strings.Contains(out, line) {
			t.Errorf("got %v and\n%s\nwant %q in it", err, out, line)
		}
	}
	if m := office.Await(t, "Ops@xn--bcher-kva.example", 1); !strings.Contains(m.Body, "https://realmgate.example") {
		t.Errorf("mail: got %s", m.Body)
	}
	office.Reject(550)
	_, err = h.command("mail test", "ops@example.com")
	if err == nil || !strings.Contains(err.Error(), "would not be tried again") || !strings.Contains(err.Error(), "550") {
		t.Errorf("refused for good: got %v", err)
	}
	office.Reject(451)
	if _, err := h.command("mail test", "ops@example.com"); err == nil ||
		!strings.Contains(err.Error(), "would be tried again") {
		t.Errorf("refused for now: got %v", err)
	}
	for _, args := range [][]string{{}, {"a", "b"}, {"a@-x.example"}} {
		if _, err := h.command("mail test", args...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
	h.cfg.Mail.URL = ""
	if _, err := h.command("mail test", "ops@example.com"); err == nil ||
		!strings.Contains(err.Error(), "SMTP_URL is not set") {
		t.Errorf("without a server: got %v", err)
	}
}
