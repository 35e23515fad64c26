package users

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// mails is the domain of everything that goes by mail: verifying an address and resetting a
// password. A request only notes what is asked for; a worker finds out whether there is an account,
// makes the token and sends the mail, so that no answer tells whether there is one.
type mails struct {
	*core
	hasher *hasher
	rule   passwordRule
	sender sender // nil: no mail server
	due    chan struct{}
	tries  *prometheus.CounterVec // mails_total
}

// newMails makes the domain; without SMTP_URL it sends nothing.
func newMails(c *core, h *hasher, rule passwordRule, reg prometheus.Registerer) (*mails, error) {
	m := &mails{core: c, hasher: h, rule: rule, due: make(chan struct{}, 1), tries: newMailMetrics(reg)}
	if !c.cfg.Mail.On() {
		return m, nil
	}
	if c.cfg.Mail.PublicURL == "" {
		c.log.Warn("PUBLIC_URL is not set: links in mails lead to this machine only", "links", c.cfg.Mail.base())
	}
	s, err := newSMTPSender(c.cfg.Mail)
	m.sender = s
	return m, err
}

// sender sends one mail.
type sender interface {
	send(ctx context.Context, l letter) error
}

// The kinds of mail that are asked for.
const (
	mailSignup = "signup" // somebody signed up with the address: verify it, or say that there is an account already
	mailVerify = "verify"
	mailReset  = "reset"
)

// What a mailed token is good for.
const (
	purposeVerify = "verify"
	purposeReset  = "reset"
	purposeKnown  = "known" // nothing: it is not in the mail, and tells when that was sent
)

const (
	mailEvery    = time.Second      // how often the worker looks for mails that other replicas noted
	mailLease    = 2 * time.Minute  // after which another replica tries
	mailTimeout  = 30 * time.Second // of one delivery
	mailAttempts = 12               // with doubling pauses, about a day
	// mailPause is the least time between two mails of one kind to one address: nobody's mailbox is
	// flooded through us.
	mailPause = time.Minute
)

// job is a mail to be sent.
type job struct {
	kind, emailKey string
	passwordHash   *string // of the sign-up; nil for none
	attempts       int
	createdAt      time.Time // when it was last asked for
}

// ask notes a mail and wakes the worker. passwordHash is that of a sign-up, "" for any other mail.
func (m *mails) ask(ctx context.Context, kind, email, passwordHash string) error {
	if m.sender == nil {
		return nil
	}
	key, err := storedKey(ctx, m.pool, email)
	if err != nil {
		return err
	}
	if err := m.note(ctx, kind, key, passwordHash); err != nil {
		return err
	}
	select {
	case m.due <- struct{}{}:
	default: // it is awake
	}
	return nil
}

// run sends what is due until ctx ends.
func (m *mails) run(ctx context.Context) error {
	if m.sender == nil {
		return nil
	}
	tick := time.NewTicker(mailEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-m.due:
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = m.sendNext(ctx); err != nil && ctx.Err() == nil {
				m.log.Warn("mails wait", "error", err.Error())
				break
			}
		}
	}
}

// sendNext sends one mail that is due; false when there is none.
func (m *mails) sendNext(ctx context.Context) (bool, error) {
	j, ok, err := m.lease(ctx)
	if err != nil || !ok {
		return false, err
	}
	l, wanted, err := m.compose(ctx, j)
	if err != nil {
		return false, err
	}
	if wanted {
		sendCtx, cancel := context.WithTimeout(ctx, mailTimeout)
		err = m.sender.send(sendCtx, l)
		cancel()
	}
	if refused, ok := errors.AsType[errRefused](err); ok {
		m.tries.WithLabelValues(mailRefused).Inc()
		m.log.Error("a mail is refused for good and is not tried again", "kind", j.kind, "attempt", j.attempts, "user_id",
			l.userID,
			"error", refused.Error())
		return true, m.giveUp(context.WithoutCancel(ctx), j, l.token)
	}
	if err != nil {
		m.log.Warn("a mail was not sent", "kind", j.kind, "attempt", j.attempts, "error", err.Error())
		return true, m.postpone(context.WithoutCancel(ctx), j, l.token)
	}
	if wanted {
		m.tries.WithLabelValues(mailSent).Inc()
	}
	return true, m.done(ctx, j)
}

// compose decides what to write to the address of a job; false when there is nothing to say.
func (m *mails) compose(ctx context.Context, j job) (letter, bool, error) {
	found, err := oneAccount(ctx, m.pool, `WHERE email_key = $1`, j.emailKey)
	if apperr.Is(err, "USER_NOT_FOUND") {
		return letter{}, false, nil
	}
	if err != nil {
		return letter{}, false, err
	}
	l := letter{userID: found.ID, To: deliverTo(found.Email), App: m.cfg.AppName, Name: found.Alias,
		URL: m.cfg.Mail.base()}
	var purpose string
	var ttl time.Duration
	switch {
	case j.kind == mailReset && !found.IsBanned:
		l.template, purpose, ttl = "reset", purposeReset, m.cfg.Mail.ResetTTL
	case j.kind != mailReset && !found.EmailVerified:
		l.template, purpose, ttl = "verify", purposeVerify, m.cfg.Mail.VerifyTTL
	case j.kind == mailSignup:
		l.template, purpose, ttl = "known", purposeKnown, mailPause
		j.passwordHash = nil // the account has its owner
	default:
		return letter{}, false, nil
	}
	token := randomToken()
	made, err := m.makeToken(ctx, found, purpose, token, ttl, j.passwordHash)
	l.token = token
	if purpose != purposeKnown {
		l.Link, l.Hours = m.cfg.Mail.link(purpose, token), max(1, int(ttl.Hours()))
	}
	return l, made, err
}

func errVerificationToken() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_VERIFICATION_TOKEN", "Invalid or expired verification token")
}

func errResetToken() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_RESET_TOKEN", "Invalid or expired reset token")
}

// reset sets a new password with a mailed token.
func (m *mails) reset(ctx context.Context, token, password string, d device) error {
	found, err := m.accountOf(ctx, purposeReset, token) // before the work of a hash
	if apperr.Is(err, "USER_NOT_FOUND") {
		return errResetToken()
	}
	if err != nil {
		return err
	}
	if err := m.rule.check(password, found.Email, found.Username, found.Alias); err != nil {
		return err
	}
	hash, err := m.hasher.hash(ctx, d.Address, password)
	if err != nil {
		return err
	}
	return m.useReset(ctx, token, hash, d)
}
