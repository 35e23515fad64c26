// Package mail provides mails about accounts: an outbox in the database, the tokens in mails, and
// delivery by SMTP (RFC 5321). It serves the pages /verify-email and /reset-password, to which
// links in mails lead. It does not read accounts: composers of other domains do. Start reading at
// Outbox.
package mail

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// Outbox sends the mails that requests ask for. A request only stores a job. A worker looks up the
// account, issues the token and sends the mail, so that neither the answer to a request nor its
// time tells whether an account exists.
type Outbox struct {
	*core.Core
	cfg          Config
	appName      string
	unusableHash func() string // returns a password hash that no password matches
	composers    map[string]Composer
	sender       sender // nil without a mail server
	wake         chan struct{}
	mailsTotal   *prometheus.CounterVec // mails_total
}

// Composer returns the message for the address of a job; false when there is nothing to send.
type Composer func(ctx context.Context, job Job) (Message, bool, error)

// NewOutbox returns an outbox. Without a mail server it stores and sends nothing. unusableHash
// returns a password hash that no password matches.
func NewOutbox(c *core.Core, cfg Config, appName string, unusableHash func() string,
	reg prometheus.Registerer) (*Outbox, error) {
	o := &Outbox{Core: c, cfg: cfg, appName: appName, unusableHash: unusableHash, composers: map[string]Composer{},
		wake: make(chan struct{}, 1), mailsTotal: newMetrics(reg)}
	if !cfg.On() {
		return o, nil
	}
	if cfg.PublicURL == "" {
		c.Log.Warn("PUBLIC_URL is not set: links in mails lead to this machine only", "links", cfg.BaseURL())
	}
	sender, err := newSMTPSender(cfg)
	o.sender = sender
	return o, err
}

// Handle registers the composer for the mails of a kind. Call it before Run.
func (o *Outbox) Handle(kind string, compose Composer) { o.composers[kind] = compose }

// sender sends one mail; the error is a refusedError when another attempt would fail too.
type sender interface {
	send(ctx context.Context, m Message) error
}

// The kinds of mail that requests ask for.
const (
	KindSignup = "signup" // verifies the address of a sign-up, or tells its reader that it has an account
	KindVerify = "verify"
	KindReset  = "reset"
	// The kinds about a change of the address: a link to the new one, and a notice to the old one.
	KindEmailChange = "email_change"
	KindEmailNotice = "email_notice"
)

// The purposes of mailed tokens.
const (
	PurposeVerify = "verify"
	PurposeReset  = "reset"
	// PurposeEmail changes the address of the account, and PurposeEmailUndo puts it back.
	PurposeEmail     = "email"
	PurposeEmailUndo = "email_undo"
	PurposeNotice    = "known" // is in no mail and cannot be redeemed: it records when a notice was sent
)

const (
	pollInterval = time.Second      // between two looks for jobs that other replicas stored
	jobLease     = 2 * time.Minute  // after which another replica takes a job
	sendTimeout  = 30 * time.Second // for one delivery
	maxAttempts  = 12               // with doubling pauses, about a day
	undoTTL      = 7 * 24 * time.Hour
	// minInterval is the least time between two mails of one purpose to one account, so that a
	// mailbox cannot be flooded.
	minInterval = time.Minute
)

// Job is a mail to be sent.
type Job struct {
	Kind, EmailKey string
	UserID, Email  string  // of a mail about a change of the address, whose EmailKey is a name of the job
	PasswordHash   *string // of the sign-up; nil for other mails
	attempts       int
	requestedAt    time.Time // of the last request for this mail
}

// Enqueue stores a job and wakes the worker. emailKey is the key under which the account is stored
// (see mailaddr.Keys); passwordHash is that of a sign-up, "" for other mails.
func (o *Outbox) Enqueue(ctx context.Context, kind, emailKey, passwordHash string) error {
	if o.sender == nil {
		return nil
	}
	if err := o.insertJob(ctx, kind, emailKey, passwordHash); err != nil {
		return err
	}
	o.Wake()
	return nil
}

// Wake lets the worker look for due jobs at once.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default: // the worker is awake
	}
}

// Run sends due mails until ctx ends. It always returns nil.
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

// sendNext handles one due job; false when there is none. The error is not about the delivery,
// which has its own retries, but about the database.
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

// Compose issues the token of a message with the lifetime of its purpose, and completes the message
// with the token and the link; false when the account was sent such a mail within minInterval.
func (o *Outbox) Compose(ctx context.Context, request TokenRequest, message Message) (Message, bool, error) {
	request.ttl = map[string]time.Duration{
		PurposeVerify: o.cfg.VerifyTTL, PurposeReset: o.cfg.ResetTTL, PurposeNotice: minInterval,
		PurposeEmail: o.cfg.VerifyTTL, PurposeEmailUndo: undoTTL,
	}[request.Purpose]
	token, issued, err := o.issueToken(ctx, request)
	message.Token, message.App, message.URL = token, o.appName, o.cfg.BaseURL()
	if request.Purpose != PurposeNotice {
		message.Link, message.Hours = o.cfg.tokenURL(request.Purpose, token), max(1, int(request.ttl.Hours()))
	}
	return message, issued, err
}
