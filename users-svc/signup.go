package users

import (
	"context"
	"crypto/subtle"
	"strings"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/input"
)

const maxInviteCode = 255

// signup is what a stranger asks for.
type signup struct {
	Email, Password            string
	Region, InviteCode, Client *string
}

func readSignup(o *input.Object) (signup, error) {
	o.DropNull("region", "invite_code", "client")
	in := signup{Email: readEmail(o, "email"), Client: readClient(o),
		InviteCode: optional(o.String("invite_code", 0, maxInviteCode))}
	if in.Region = optional(o.String("region", 1, maxRegion)); in.Region != nil && !regionPattern.MatchString(*in.Region) {
		o.Fail("region", "must be lower-case letters, digits and hyphens")
	}
	if !o.Has("password") {
		o.Fail("password", "is required")
	}
	in.Password, _ = o.Text("password")
	if err := o.Err(); err != nil {
		return in, err
	}
	return in, checkStrength(in.Password)
}

// signUps is the domain of signing up and of verifying the address.
type signUps struct {
	*core
	cfg     signupConfig
	appName string
	hasher  *hasher
	rule    passwordRule
	outbox  *Outbox
}

// newSignUps registers the mails of the domain with the outbox.
func newSignUps(c *core, h *hasher, rule passwordRule, outbox *Outbox, cfg signupConfig, appName string) *signUps {
	s := &signUps{core: c, cfg: cfg, appName: appName, hasher: h, rule: rule, outbox: outbox}
	outbox.Handle(KindSignup, s.composeSignup)
	outbox.Handle(KindVerify, s.composeVerification)
	return s
}

// register creates an account. The caller learns nothing about addresses that have one: the work and
// the answer are the same. Anybody may have signed up before with an address that is not verified
// yet: the mail carries this password, and the password of the reader who follows the link counts.
func (s *signUps) register(ctx context.Context, in signup, address string) error {
	if err := s.rule.check(in.Password, in.Email); err != nil {
		return err
	}
	n := newAccount{
		Email: in.Email, Alias: firstAlias(in.Email), Method: methodEmail, Region: in.Region, Client: in.Client,
		Verified: !s.outbox.On(), At: s.now(),
	}
	if in.InviteCode != nil && *in.InviteCode != "" {
		n.Invited = validInvite(s.cfg.InviteCodes, *in.InviteCode)
		n.CodeFailed = !n.Invited
	}
	first, err := unverifiedHash(ctx, s.pool, in.Email)
	if err != nil {
		return err
	}
	if n.PasswordHash, err = s.hasher.hashLike(ctx, address, in.Password, first); err != nil {
		return err
	}
	if _, _, err = insertAccount(ctx, s.pool, n); err != nil {
		return err
	}
	key, err := storedKey(ctx, s.pool, in.Email)
	if err != nil {
		return err
	}
	return s.outbox.Enqueue(ctx, KindSignup, key, n.PasswordHash)
}

// validInvite compares code with each of the comma-separated ones in constant time.
func validInvite(codes config.Secret, code string) bool {
	found := 0
	for c := range strings.SplitSeq(codes.Reveal(), ",") {
		if c = strings.TrimSpace(c); c != "" {
			found |= subtle.ConstantTimeCompare([]byte(c), []byte(code))
		}
	}
	return found == 1
}
