// Package mail provides mails about accounts: an outbox in the database, the tokens that mails carry,
// and delivery by SMTP (RFC 5321). It serves the pages that links in mails lead to, and knows no
// accounts. Start reading at Outbox.
package mail

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// Outbox sends mails that requests ask for. A request only stores a job; a worker finds out whether
// there is an account, issues the token and sends the mail, so no answer tells whether there is an
// account.
type Outbox struct {
	*core.Core
	cfg          Config
	appName      string
	unusableHash func() string // a password hash that no password has
	composers    map[string]Composer
	sender       sender // nil: no mail server
	wake         chan struct{}
	mailsTotal   *prometheus.CounterVec // mails_total
}

// Composer decides what to send to the address of a job; false when there is nothing to send.
type Composer func(ctx context.Context, job Job) (Message, bool, error)

// NewOutbox returns an outbox that sends nothing unless there is a mail server.
func NewOutbox(c *core.Core, cfg Config, appName string, unusableHash func() string,
	reg prometheus.Registerer) (*Outbox, error) {
	o := &Outbox{Core: c, cfg: cfg, appName: appName, unusableHash: unusableHash, composers: map[string]Composer{},
		wake: make(chan struct{}, 1), mailsTotal: newMetrics(reg)}
	if !cfg.On() {
		return o, nil
	}
	if cfg.PublicURL == "" {
		c.Log.Warn("PUBLIC_URL is not set: links in mails lead to this machine only", "links", cfg.baseURL())
	}
	sender, err := newSMTPSender(cfg)
	o.sender = sender
	return o, err
}

// Handle registers what composes the mails of a kind. Call it before Run.
func (o *Outbox) Handle(kind string, compose Composer) { o.composers[kind] = compose }

// sender sends one mail.
type sender interface {
	send(ctx context.Context, m Message) error
}

// The kinds of mail that are asked for.
const (
	KindSignup = "signup" // verify the address that signed up, or say that it has an account already
	KindVerify = "verify"
	KindReset  = "reset"
)

// The purposes of mailed tokens.
const (
	PurposeVerify = "verify"
	PurposeReset  = "reset"
	PurposeNotice = "known" // opens nothing and is in no mail: it records when a notice was sent
)

const (
	pollInterval = time.Second      // how often the worker looks for jobs that other replicas stored
	jobLease     = 2 * time.Minute  // after which another replica tries
	sendTimeout  = 30 * time.Second // of one delivery
	maxAttempts  = 12               // with doubling pauses, about a day
	// MinInterval is the least time between two mails of one purpose to one account, so that nobody
	// can flood a mailbox.
	minInterval = time.Minute
)

// Job is a mail to be sent.
type Job struct {
	Kind, EmailKey string
	PasswordHash   *string // of the sign-up; nil for none
	attempts       int
	requestedAt    time.Time // when it was last asked for
}

// Enqueue stores a job and wakes the worker. emailKey is the key under which the account is stored;
// passwordHash is that of a sign-up, "" for any other mail.
func (o *Outbox) Enqueue(ctx context.Context, kind, emailKey, passwordHash string) error {
	if o.sender == nil {
		return nil
	}
	if err := o.insertJob(ctx, kind, emailKey, passwordHash); err != nil {
		return err
	}
	select {
	case o.wake <- struct{}{}:
	default: // it is awake
	}
	return nil
}

// Run sends due mails until ctx ends.
func (o *Outbox) Run(ctx context.Context) error {
	if o.sender == nil {
		return nil
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-o.wake:
		}
		for sent := true; sent && ctx.Err() == nil; {
			var err error
			if sent, err = o.sendNext(ctx); err != nil && ctx.Err() == nil {
				o.Log.Warn("mails wait", "error", err.Error())
				break
			}
		}
	}
}

// sendNext sends one due mail; false when there is none.
func (o *Outbox) sendNext(ctx context.Context) (bool, error) {
	job, ok, err := o.leaseJob(ctx)
	if err != nil || !ok {
		return false, err
	}
	message, wanted, err := o.composers[job.Kind](ctx, job)
	if err != nil {
		return false, err
	}
	if wanted {
		sendCtx, cancel := context.WithTimeout(ctx, sendTimeout)
		err = o.sender.send(sendCtx, message)
		cancel()
	}
	if refused, ok := errors.AsType[refusedError](err); ok {
		o.mailsTotal.WithLabelValues(outcomeRefused).Inc()
		o.Log.Error("a mail is refused for good and is not tried again", "kind", job.Kind, "attempt", job.attempts,
			"user_id", message.UserID, "error", refused.Error())
		return true, o.giveUp(context.WithoutCancel(ctx), job, message.Token)
	}
	if err != nil {
		o.Log.Warn("a mail was not sent", "kind", job.Kind, "attempt", job.attempts, "error", err.Error())
		return true, o.retryLater(context.WithoutCancel(ctx), job, message.Token)
	}
	if wanted {
		o.mailsTotal.WithLabelValues(outcomeSent).Inc()
	}
	return true, o.finishJob(ctx, job)
}

// On reports whether there is a mail server.
func (o *Outbox) On() bool { return o.cfg.On() }

// Compose issues the token that message carries, with the lifetime of its purpose, and completes
// the message; false when the account was sent such a mail within MinInterval.
func (o *Outbox) Compose(ctx context.Context, request TokenRequest, message Message) (Message, bool, error) {
	request.ttl = map[string]time.Duration{
		PurposeVerify: o.cfg.VerifyTTL, PurposeReset: o.cfg.ResetTTL, PurposeNotice: minInterval,
	}[request.Purpose]
	token, issued, err := o.issueToken(ctx, request)
	message.Token, message.App, message.URL = token, o.appName, o.cfg.baseURL()
	if request.Purpose != PurposeNotice {
		message.Link, message.Hours = o.cfg.tokenURL(request.Purpose, token), max(1, int(request.ttl.Hours()))
	}
	return message, issued, err
}
