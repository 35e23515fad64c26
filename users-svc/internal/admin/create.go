package admin

import (
	"context"

	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
)

// newUser is an account that an admin or a command creates.
type newUser struct {
	Email, Password string
	Username, Alias *string
	Admin           bool
	Address         string // client address of the admin; "" for a command
}

// readNewUser reads and checks the body of POST /users.
func readNewUser(body *input.Object) (newUser, error) {
	body.DropNull("username", "alias", "is_admin")
	in := newUser{Email: mailaddr.Field(body, "email"), Username: account.UsernameField(body),
		Alias: field.Optional(body.String("alias", 1, account.MaxAlias))}
	in.Admin, _ = body.Bool("is_admin")
	field.Require(body, "password")
	in.Password, _ = body.Text("password")
	if err := body.Err(); err != nil {
		return in, err
	}
	return in, passwords.CheckStrength(in.Password)
}

// createAccount creates an account whose address counts as verified. It returns 409 EMAIL_TAKEN or
// USERNAME_TAKEN when another account has the address or name.
func (s *Service) createAccount(ctx context.Context, in newUser, method string) (account.User, error) {
	draft := account.Draft{Email: in.Email, Alias: account.DefaultAlias(in.Email), Method: method, Admin: in.Admin,
		Verified:  true,
		CreatedAt: s.Now()}
	if in.Alias != nil {
		draft.Alias = *in.Alias
	}
	if in.Username != nil {
		draft.Username = *in.Username
	}
	if err := s.policy.Check(in.Password, draft.Email, draft.Username, draft.Alias); err != nil {
		return account.User{}, err
	}
	var err error
	if draft.PasswordHash, err = s.hasher.Hash(ctx, in.Address, in.Password); err != nil {
		return account.User{}, err
	}
	userID, created, err := account.Insert(ctx, s.Pool, draft)
	if err != nil {
		return account.User{}, err
	}
	if !created {
		return account.User{}, account.ErrEmailTaken()
	}
	user, err := account.ByID(ctx, s.Pool, userID)
	return user.User, err
}
