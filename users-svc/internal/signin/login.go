package signin

import (
	"context"
	"strings"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// credentials is what somebody claims: a username or an address, and a password.
type credentials struct {
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

// readCredentials reads the body of a login. What is missing has a message of its own.
func readCredentials(o *input.Object) (credentials, error) {
	o.DropNull("username", "email", "password", "client", "response_mode")
	var in credentials
	username, _ := o.String("username", 0, maxLoginName)
	email, _ := o.String("email", 0, maxLoginName)
	in.Password = field.StoredPassword(o, "password", 0)
	in.Client = field.Client(o)
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
func (s *Service) login(ctx context.Context, in credentials, d request.Device) (any, error) {
	address := "login:" + netaddr.NetworkOf(d.Address)
	if r := s.limiter.Allow(ctx, address, s.cfg.AddressRate, 0); !r.Allowed {
		return nil, apperr.RateLimitExceeded(r.RetryAfter).WithLimit(s.cfg.AddressRate.Count)
	}
	moment := s.throttle.Version()
	found, at, err := account.FindForLogin(ctx, s.Pool, in.Name, netaddr.NetworkOf(d.Address), s.Now())
	at.Version = moment
	if err == nil {
		err = s.throttle.Blocked(at)
	}
	if err == nil {
		err = s.verifyPassword(ctx, &found, in.Password, at, d)
	}
	if apperr.Is(err, "INVALID_CREDENTIALS") {
		s.limiter.Allow(ctx, address, s.cfg.AddressRate, 1)
	}
	if err != nil {
		return nil, err
	}
	return s.finishLogin(ctx, found, at.Key, d)
}

// verifyPassword checks the password and, while it is at hand, renews a hash that has become weak.
func (s *Service) verifyPassword(ctx context.Context, found *account.Account, password string, at throttle.FailureState,
	d request.Device) error {
	equal, err := s.kinds.MaxWork(ctx)
	if err != nil {
		return err
	}
	renewed := ""
	wrong := history.Event{UserID: found.ID, Kind: history.Login, Failed: true, Device: d}
	right, err := s.throttle.Attempt(ctx, at, wrong, func() (right bool, err error) {
		right, renew := s.hasher.Check(password, found.PasswordHash, equal)
		if renew {
			renewed, err = s.hasher.HashNow(password)
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
	done, err := account.RenewHash(ctx, s.Pool, found.ID, found.PasswordHash, renewed)
	if err != nil {
		return err
	}
	if !done {
		return s.reverify(ctx, found, password, d)
	}
	found.PasswordHash = renewed
	return nil
}

// reverify checks the password against the hash that has taken the place of the one that it was
// right for: that of another login's renewal, or that of another password.
func (s *Service) reverify(ctx context.Context, found *account.Account, password string, d request.Device) error {
	again, err := account.ByID(ctx, s.Pool, found.ID)
	if err != nil {
		return err
	}
	var right bool
	err = s.hasher.Do(ctx, passwords.QueueClient(d.Address), func() error {
		right = s.hasher.Verify(password, again.PasswordHash)
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

// finishLogin decides what an account that has proved its password may do.
func (s *Service) finishLogin(ctx context.Context, found account.Account, key []byte, d request.Device) (any, error) {
	if refusal := s.rejection(found); refusal != nil {
		if err := s.throttle.Reset(ctx, s.Pool, key); err != nil {
			return nil, err
		}
		if err := history.Record(ctx, s.Pool, s.Now(),
			history.Event{UserID: found.ID, Kind: history.Login, Failed: true, Device: d}); err != nil {
			return nil, err
		}
		return nil, refusal
	}
	return s.SignIn(ctx, found, NewSession{VerifiedHash: found.PasswordHash, pendingToken: secrets.NewToken(),
		throttle: key, Device: d})
}

// rejection is why an account may not sign in although the password is right, nil when it may.
func (s *Service) rejection(found account.Account) error {
	switch {
	case found.IsBanned:
		return apperr.AccountBanned()
	case !found.EmailVerified && s.outbox.On():
		return errEmailNotVerified(found.Email)
	}
	return nil
}
