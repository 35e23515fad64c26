package users

import (
	"context"
	"crypto/subtle"
	"strings"
	"unicode/utf8"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/input"
)

const (
	maxInviteCode = 255
	maxClient     = 256
)

// signup is what a stranger asks for.
type signup struct {
	Email, Password            string
	Region, InviteCode, Client *string
}

// readClient reads how a client names itself: a string, or an object, which is kept as its JSON.
// What is too long is cut.
func readClient(o *input.Object) *string {
	raw, ok := o.Raw("client")
	if !ok {
		return nil
	}
	var text string
	if raw.Kind() == '{' {
		v, _ := o.JSONObject("client", 16<<10)
		text = string(v)
	} else {
		text, _ = o.String("client", 0, 16<<10)
	}
	if r := []rune(text); len(r) > maxClient {
		text = string(r[:maxClient])
	}
	if text == "" || !utf8.ValidString(text) {
		return nil
	}
	return &text
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

// signUp creates an account. The caller learns nothing about addresses that have one: the work and
// the answer are the same. To an address that is not verified yet anybody may have signed up
// before: the mail carries this password, and that of whoever follows the link counts.
func (a *accounts) signUp(ctx context.Context, in signup, address string) error {
	if err := a.rule.check(in.Password, in.Email); err != nil {
		return err
	}
	n := newAccount{
		Email: in.Email, Alias: firstAlias(in.Email), Method: methodEmail, Region: in.Region, Client: in.Client,
		Verified: !a.cfg.Mail.On(), At: a.now(),
	}
	if in.InviteCode != nil && *in.InviteCode != "" {
		n.Invited = validInvite(a.cfg.Signup.InviteCodes, *in.InviteCode)
		n.CodeFailed = !n.Invited
	}
	first, err := unverifiedHash(ctx, a.pool, in.Email)
	if err != nil {
		return err
	}
	if n.PasswordHash, err = a.hasher.hashLike(ctx, address, in.Password, first); err != nil {
		return err
	}
	if _, _, err = insertAccount(ctx, a.pool, n); err != nil {
		return err
	}
	return a.mails.ask(ctx, mailSignup, in.Email, n.PasswordHash)
}

// firstAlias is the local part of the address, cut to what an alias may be.
func firstAlias(email string) string {
	local, _, _ := strings.Cut(email, "@")
	if r := []rune(local); len(r) > maxAlias {
		local = string(r[:maxAlias])
	}
	return local
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
