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
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// login verifies the password and opens a session, or returns a challenge when the account has a
// second factor.
func (s *Service) login(ctx context.Context, in credentials, device request.Device) (any, error) {
	verified, err := s.VerifyLogin(ctx, in.Name, in.Password, device)
	if err != nil {
		return nil, err
	}
	return s.FinishLogin(ctx, verified, device)
}

// VerifiedLogin is an account whose password was verified. Its session is opened by FinishLogin.
type VerifiedLogin struct {
	User        account.Account
	throttleKey []byte
}

// VerifyLogin verifies the password of the account with a username or an address. A name without an
// account costs the same work and gets the same answer as a wrong password: 401
// INVALID_CREDENTIALS. Too many failures are 429 RATE_LIMITED, counted per network of the client
// and per account.
func (s *Service) VerifyLogin(ctx context.Context, name, password string,
	device request.Device) (VerifiedLogin, error) {
	limitKey := "login:" + netaddr.NetworkOf(device.Address)
	if r := s.limiter.Allow(ctx, limitKey, s.cfg.AddressRate, 0); !r.Allowed {
		return VerifiedLogin{}, apperr.RateLimitExceeded(r.RetryAfter).WithLimit(s.cfg.AddressRate.Count)
	}
	version := s.throttle.Version()
	user, state, err := account.FindForLogin(ctx, s.Pool, name, netaddr.NetworkOf(device.Address), s.Now())
	state.Version = version
	if err == nil {
		err = s.throttle.Blocked(state)
	}
	if err == nil {
		err = s.verifyPassword(ctx, &user, password, state, device)
	}
	if apperr.Is(err, "INVALID_CREDENTIALS") {
		s.limiter.Allow(ctx, limitKey, s.cfg.AddressRate, 1)
	}
	return VerifiedLogin{user, state.Key}, err
}

// verifyPassword verifies the password, and replaces a hash that has become too weak while the
// password is known in clear. user gets the hash that is stored afterwards.
func (s *Service) verifyPassword(ctx context.Context, user *account.Account, password string,
	state throttle.FailureState, device request.Device) error {
	maxWork, err := s.kinds.MaxWork(ctx)
	if err != nil {
		return err
	}
	renewed := ""
	wrong := history.Event{UserID: user.ID, Kind: history.Login, Failed: true, Device: device}
	correct, err := s.throttle.Attempt(ctx, state, wrong, func() (correct bool, err error) {
		correct, weak := s.hasher.Check(password, user.PasswordHash, maxWork)
		if weak {
			renewed, err = s.hasher.HashNow(password)
		}
		return correct, err
	})
	switch {
	case err != nil:
		return err
	case !correct:
		return errInvalidCredentials()
	case renewed == "":
		return nil
	}
	stored, err := account.RenewHash(ctx, s.Pool, user.ID, user.PasswordHash, renewed)
	if err != nil {
		return err
	}
	if !stored {
		return s.reverify(ctx, user, password, device)
	}
	user.PasswordHash = renewed
	return nil
}

// reverify verifies the password against a hash that was stored meanwhile, by another login's
// renewal or by a change of the password.
func (s *Service) reverify(ctx context.Context, user *account.Account, password string, device request.Device) error {
	current, err := account.ByID(ctx, s.Pool, user.ID)
	if err != nil {
		return err
	}
	var correct bool
	err = s.hasher.Do(ctx, passwords.QueueClient(device.Address), func() error {
		correct = s.hasher.Verify(password, current.PasswordHash)
		return nil
	})
	switch {
	case err != nil:
		return err
	case !correct:
		return errInvalidCredentials()
	}
	user.PasswordHash = current.PasswordHash
	return nil
}

// FinishLogin opens a session for a user with a verified password, or returns a challenge when the
// account has a second factor. It refuses a user that may not sign in, see Rejection.
func (s *Service) FinishLogin(ctx context.Context, login VerifiedLogin, device request.Device) (any, error) {
	user := login.User
	if rejection := s.Rejection(user); rejection != nil {
		if err := s.throttle.Reset(ctx, s.Pool, login.throttleKey); err != nil {
			return nil, err
		}
		if err := history.Record(ctx, s.Pool, s.Now(),
			history.Event{UserID: user.ID, Kind: history.Login, Failed: true, Device: device}); err != nil {
			return nil, err
		}
		return nil, rejection
	}
	opening := NewSession{VerifiedHash: user.PasswordHash, throttleKey: login.throttleKey, Device: device}
	return s.SignIn(ctx, user, opening.AskingSecondFactor())
}

// Rejection returns the error for an account that may not sign in although its user proved their
// identity, or nil: 403 ACCOUNT_BANNED, or 401 EMAIL_NOT_VERIFIED when there is a mail server.
func (s *Service) Rejection(user account.Account) error {
	switch {
	case user.IsBanned:
		return apperr.AccountBanned()
	case !user.EmailVerified && s.outbox.On():
		return errEmailNotVerified(user.Email)
	}
	return nil
}

// credentials are the body of a login. Name is a username or an address.
type credentials struct {
	Name, Password string
	Client         *string
}

// readCredentials reads the body of a login. A missing field has a message of its own.
func readCredentials(body *input.Object) (credentials, error) {
	body.DropNull("username", "email", "password", "client", "response_mode")
	var in credentials
	username, _ := body.String("username", 0, maxLoginName)
	email, _ := body.String("email", 0, maxLoginName)
	in.Password = field.StoredPassword(body, "password", 0)
	in.Client = field.Client(body)
	if mode, ok := body.String("response_mode", 0, maxLoginName); ok && mode != "tokens" {
		body.Fail("response_mode", `must be "tokens"`)
	}
	if err := body.Err(); err != nil {
		return in, err
	}
	if in.Name = email; email == "" {
		in.Name = username
	}
	if strings.Contains(in.Name, "@") {
		in.Name = strings.TrimSpace(in.Name) // keyboards and copying add spaces
	}
	if in.Name == "" {
		body.Fail("email", "is required, or a username")
	}
	if in.Password == "" {
		body.Fail("password", "is required")
	}
	if err := body.Err(); err != nil {
		e := *apperr.From(err)
		e.Message = "Username or email, and password are required"
		return in, &e
	}
	return in, nil
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
