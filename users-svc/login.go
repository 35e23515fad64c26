package users

import (
	"context"
	"strings"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// login is what somebody claims: a username or an address, and a password.
type login struct {
	Name, Password string
	Client         *string
}

const maxLoginName = 255

func errInvalidCredentials() *apperr.Error {
	return apperr.New(apperr.Unauthenticated, "INVALID_CREDENTIALS", "Invalid email or password")
}

func errEmailNotVerified(email string) *apperr.Error {
	return apperr.New(apperr.Unauthenticated, "EMAIL_NOT_VERIFIED",
		"Email not verified. Please check your inbox or request a new verification link.").
		WithData(map[string]string{"email": email}).WithCodeInError()
}

// readLogin reads the body of a login. What is missing has a message of its own.
func readLogin(o *input.Object) (login, error) {
	o.DropNull("username", "email", "password", "client", "response_mode")
	var in login
	username, _ := o.String("username", 0, maxLoginName)
	email, _ := o.String("email", 0, maxLoginName)
	in.Password = readStoredPassword(o, "password", 0)
	in.Client = readClient(o)
	if mode, ok := o.String("response_mode", 0, maxLoginName); ok && mode != "tokens" {
		o.Fail("response_mode", `must be "tokens"`)
	}
	if err := o.Err(); err != nil {
		return in, err
	}
	if in.Name = email; email == "" {
		in.Name = username
	}
	if strings.Contains(in.Name, "@") {
		in.Name = strings.TrimSpace(in.Name) // keyboards and copying add blanks
	}
	if in.Name == "" {
		o.Fail("email", "is required, or a username")
	}
	if in.Password == "" {
		o.Fail("password", "is required")
	}
	if err := o.Err(); err != nil {
		e := *apperr.From(err)
		e.Message = "Username or email, and password are required"
		return in, &e
	}
	return in, nil
}

// login checks the password and opens a session, or answers what the second factor asks for. An
// account that does not exist costs the same work and gets the same answer as a wrong password.
func (s *signIns) login(ctx context.Context, in login, d device) (any, error) {
	address := "login:" + netaddr.NetworkOf(d.Address)
	if r := s.limiter.Allow(ctx, address, s.cfg.AddressRate, 0); !r.Allowed {
		return nil, apperr.RateLimitExceeded(r.RetryAfter).WithLimit(s.cfg.AddressRate.Count)
	}
	moment := s.throttle.turns.moment()
	found, at, err := claimed(ctx, s.pool, in.Name, netaddr.NetworkOf(d.Address), s.now())
	at.moment = moment
	if err == nil {
		err = at.refusal(s.throttle.rate, s.now())
	}
	if err == nil {
		err = s.prove(ctx, &found, in.Password, at, d)
	}
	if apperr.Is(err, "INVALID_CREDENTIALS") {
		s.limiter.Allow(ctx, address, s.cfg.AddressRate, 1)
	}
	if err != nil {
		return nil, err
	}
	return s.admit(ctx, found, at.key, d)
}

// prove checks the password and, while it is at hand, renews a hash that has become weak.
func (s *signIns) prove(ctx context.Context, found *account, password string, at standing, d device) error {
	equal, err := s.kinds.most(ctx)
	if err != nil {
		return err
	}
	renewed := ""
	wrong := happening{UserID: found.ID, Event: eventLogin, Failed: true, Device: d}
	right, err := s.throttle.guess(ctx, at, wrong, func() (right bool, err error) {
		right, renew := s.hasher.check(password, found.PasswordHash, equal)
		if renew {
			renewed, err = s.hasher.create(password)
		}
		return right, err
	})
	switch {
	case err != nil:
		return err
	case !right:
		return errInvalidCredentials()
	case renewed == "":
		return nil
	}
	done, err := renewHash(ctx, s.pool, found.ID, found.PasswordHash, renewed)
	if err != nil {
		return err
	}
	if !done {
		return s.proveAgain(ctx, found, password, d)
	}
	found.PasswordHash = renewed
	return nil
}

// proveAgain checks the password against the hash that has taken the place of the one that it was
// right for: that of another login's renewal, or that of another password.
func (s *signIns) proveAgain(ctx context.Context, found *account, password string, d device) error {
	again, err := accountByID(ctx, s.pool, found.ID)
	if err != nil {
		return err
	}
	var right bool
	err = s.hasher.run(ctx, queueHolder(d.Address), func() error {
		right = s.hasher.verify(password, again.PasswordHash)
		return nil
	})
	switch {
	case err != nil:
		return err
	case !right:
		return errInvalidCredentials()
	}
	found.PasswordHash = again.PasswordHash
	return nil
}

// admit decides what an account that has proved its password may do.
func (s *signIns) admit(ctx context.Context, found account, key []byte, d device) (any, error) {
	if refusal := s.refusal(found); refusal != nil {
		if err := s.throttle.forget(ctx, s.pool, key); err != nil {
			return nil, err
		}
		if err := remember(ctx, s.pool, s.now(),
			happening{UserID: found.ID, Event: eventLogin, Failed: true, Device: d}); err != nil {
			return nil, err
		}
		return nil, refusal
	}
	return s.signIn(ctx, found, opening{trusted: found.PasswordHash, owed: randomToken(), throttle: key, device: d})
}

// refusal is why an account may not sign in although the password is right, nil when it may.
func (s *signIns) refusal(found account) error {
	switch {
	case found.IsBanned:
		return apperr.AccountBanned()
	case !found.EmailVerified && s.outbox.On():
		return errEmailNotVerified(found.Email)
	}
	return nil
}
