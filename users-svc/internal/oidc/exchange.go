package oidc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"golang.org/x/oauth2"

	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/signin"
)

// exchangeRequest is the body of an exchange. The verifier proves that the application which
// exchanges the code is the one that began the sign-in (RFC 7636).
type exchangeRequest struct{ Code, Verifier, RedirectURI string }

// exchange opens a session for a code, once. It returns a signin.Result, or a challenge when the
// account has a second factor. The session does not count as confirmed.
func (s *Service) exchange(ctx context.Context, in exchangeRequest, device request.Device) (any, error) {
	userID, client, err := s.findCode(ctx, in.Code, in.RedirectURI, oauth2.S256ChallengeFromVerifier(in.Verifier))
	if err != nil {
		return nil, err
	}
	device.Client = client
	user, err := account.ByID(ctx, s.Pool, userID)
	if err != nil {
		return nil, err
	}
	if rejection := s.signIns.Rejection(user); rejection != nil {
		return nil, rejection
	}
	opening := signin.NewSession{Device: device, Unconfirmed: true,
		Redeem: func(ctx context.Context, tx core.DBTX) error { return useCode(ctx, tx, in.Code) }}
	return s.signIns.SignIn(ctx, user, opening.AskingSecondFactor())
}

// newCode returns a code: 32 random bytes in hexadecimal.
func newCode() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func newID(now time.Time) string { return id.New(now) }
