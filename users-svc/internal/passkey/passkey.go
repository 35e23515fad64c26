// Package passkey provides passkeys (Web Authentication level 2): discoverable credentials that
// sign a user in. It serves /users/auth/passkeys. Start reading at Service.beginRegistration and
// Service.finishLogin.
package passkey

import (
	"context"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/signin"
)

// Service registers passkeys and signs users in with them.
type Service struct {
	*core.Core
	signIns *signin.Service
	party   *webauthn.WebAuthn
}

const (
	maxPasskeys  = 10 // per account
	challengeTTL = 5 * time.Minute
)

// New returns the domain. The relying party is the host of publicURL, and appName its name for
// people.
func New(signIns *signin.Service, publicURL, appName string) (*Service, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return nil, err
	}
	host, origins := u.Hostname(), []string{u.Scheme + "://" + u.Host}
	// No address can be a relying party. On this machine its name stands for it.
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsLoopback() {
		host = "localhost"
		local := u.Scheme + "://localhost"
		if u.Port() != "" {
			local += ":" + u.Port()
		}
		origins = append(origins, local)
	}
	party, err := webauthn.New(&webauthn.Config{RPID: host, RPDisplayName: appName, RPOrigins: origins,
		AttestationPreference:             protocol.PreferNoAttestation,
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationPreferred}})
	return &Service{Core: signIns.Core, signIns: signIns, party: party}, err
}

// owner is an account as the library sees it. Its user handle is the id of the account.
type owner struct {
	user     account.User
	passkeys []webauthn.Credential
}

// WebAuthnID returns the user handle.
func (o owner) WebAuthnID() []byte { return []byte(o.user.ID) }

// WebAuthnName returns the name that tells the user's accounts apart.
func (o owner) WebAuthnName() string { return o.user.Email }

// WebAuthnDisplayName returns the name of the user.
func (o owner) WebAuthnDisplayName() string { return o.user.Alias }

// WebAuthnCredentials returns the passkeys of the account.
func (o owner) WebAuthnCredentials() []webauthn.Credential { return o.passkeys }

// beginRegistration returns the options for making a passkey
// (PublicKeyCredentialCreationOptionsJSON). It needs a confirmed session, else 403
// CONFIRMATION_REQUIRED, and fewer than maxPasskeys, else 409 PASSKEY_LIMIT_REACHED.
func (s *Service) beginRegistration(ctx context.Context, userID, sessionID string) (any, error) {
	now := s.Now()
	confirmed, err := session.ConfirmedSince(ctx, s.Pool, sessionID, now.Add(-session.ConfirmationTTL))
	switch {
	case err != nil:
		return nil, err
	case !confirmed:
		return nil, apperr.New(apperr.Forbidden, "CONFIRMATION_REQUIRED",
			"Confirm with your current password at POST /api/v1/users/me/confirm")
	}
	o, err := s.owner(ctx, userID)
	if err != nil {
		return nil, err
	}
	if len(o.passkeys) >= maxPasskeys {
		return nil, errLimitReached()
	}
	options, ceremony, err := s.party.BeginRegistration(o,
		webauthn.WithExclusions(webauthn.Credentials(o.passkeys).CredentialDescriptors()))
	if err != nil {
		return nil, err
	}
	return options, s.insertChallenge(ctx, ceremony.Challenge, &sessionID, now)
}

// finishRegistration stores the passkey of a credential that an authenticator made.
func (s *Service) finishRegistration(ctx context.Context, userID string, credential []byte, name string,
	device request.Device) (passkey, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(credential)
	if err != nil {
		return passkey{}, errInvalid()
	}
	challenge := parsed.Response.CollectedClientData.Challenge
	if err := s.takeChallenge(ctx, challenge, &device.SessionID); err != nil {
		return passkey{}, err
	}
	o, err := s.owner(ctx, userID)
	if err != nil {
		return passkey{}, err
	}
	made, err := s.party.CreateCredential(o, webauthn.SessionData{Challenge: challenge, UserID: o.WebAuthnID(),
		UserVerification: protocol.VerificationPreferred,
		CredParams:       webauthn.CredentialParametersDefault()}, parsed)
	if err != nil {
		s.Log.Info("a passkey was refused", "user_id", userID, "error", err.Error())
		return passkey{}, errInvalid()
	}
	return s.insert(ctx, userID, made, name, device)
}

// beginLogin returns the options for signing in (PublicKeyCredentialRequestOptionsJSON) with any
// passkey that the person chooses.
func (s *Service) beginLogin(ctx context.Context) (any, error) {
	options, ceremony, err := s.party.BeginDiscoverableLogin(
		webauthn.WithUserVerification(protocol.VerificationPreferred))
	if err != nil {
		return nil, err
	}
	return options, s.insertChallenge(ctx, ceremony.Challenge, nil, s.Now())
}

// finishLogin opens a session for an assertion of a passkey. If the authenticator verified the user
// (by a PIN or biometrics), that is two factors: no code is asked for, and the session counts as
// confirmed. Anything wrong with the assertion is 401 INVALID_PASSKEY.
func (s *Service) finishLogin(ctx context.Context, assertion []byte, device request.Device) (any, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(assertion)
	if err != nil {
		return nil, errInvalid()
	}
	challenge := parsed.Response.CollectedClientData.Challenge
	if err := s.takeChallenge(ctx, challenge, nil); err != nil {
		return nil, err
	}
	var o owner
	var failure error // of the database, which the library would make a bad request
	find := func(_, handle []byte) (webauthn.User, error) {
		o, failure = s.owner(ctx, string(handle))
		if apperr.Is(failure, "USER_NOT_FOUND") {
			failure = nil
			return nil, errRejected()
		}
		return o, failure
	}
	_, used, err := s.party.ValidatePasskeyLogin(find, webauthn.SessionData{Challenge: challenge,
		UserVerification: protocol.VerificationPreferred}, parsed)
	if failure != nil {
		return nil, failure
	}
	if err != nil || used.Authenticator.CloneWarning {
		s.Log.Info("a sign-in with a passkey was refused", "user_id", o.user.ID, "copied", err == nil)
		return nil, errRejected()
	}
	user, err := account.ByID(ctx, s.Pool, o.user.ID)
	if err != nil {
		return nil, err
	}
	if rejection := s.signIns.Rejection(user); rejection != nil {
		return nil, rejection
	}
	verified := parsed.Response.AuthenticatorData.Flags.HasUserVerified()
	opening := signin.NewSession{Device: device, Unconfirmed: !verified,
		Redeem: func(ctx context.Context, tx core.DBTX) error { return s.use(ctx, tx, used) }}
	if !verified {
		opening = opening.AskingSecondFactor()
	}
	return s.signIns.SignIn(ctx, user, opening)
}

// passkey is a passkey as its user sees it.
type passkey struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	BackedUp   bool      `json:"backed_up"` // synchronized between devices
	CreatedAt  api.Time  `json:"created_at"`
	LastUsedAt *api.Time `json:"last_used_at"` // null: not used yet
}

// errInvalid is for a credential that is malformed or that no authenticator made for this ceremony.
func errInvalid() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_PASSKEY_RESPONSE",
		"The response of the authenticator is malformed, too old, or not for this site")
}

func errRejected() *apperr.Error {
	return apperr.New(apperr.Unauthenticated, "INVALID_PASSKEY", "This passkey does not sign in")
}

func errLimitReached() *apperr.Error {
	return apperr.New(apperr.Conflict, "PASSKEY_LIMIT_REACHED", "An account has at most 10 passkeys")
}

func errNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "PASSKEY_NOT_FOUND", "Passkey not found")
}
