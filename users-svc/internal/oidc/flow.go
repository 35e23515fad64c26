package oidc

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// beginRequest is the query of a request that begins a sign-in.
type beginRequest struct {
	RedirectURI, CodeChallenge string
	Client                     *string
	InviteCode                 string
	browser                    string // the key in the browser's cookie, "" for none
}

// begin starts a sign-in: it stores what the callback needs, and returns the address of the
// provider's sign-in page and the key for the browser's cookie. A provider that cannot be reached
// is 503 SERVICE_UNAVAILABLE.
func (s *Service) begin(ctx context.Context, name string, in beginRequest) (location, browser string, err error) {
	provider := s.providers[name]
	switch {
	case provider == nil:
		return "", "", errProviderNotFound()
	case !slices.Contains(s.redirectURIs, in.RedirectURI):
		return "", "", apperr.InvalidField("/redirect_uri", "must be one of AUTH_REDIRECT_URIS")
	}
	// One key serves all sign-ins of a browser, so that two tabs do not disturb each other.
	secret := secretsOf{state: secrets.NewToken(), browser: in.browser}
	if secret.browser == "" {
		secret.browser = secrets.NewToken()
	}
	if location, err = provider.authURL(ctx, secret); err != nil {
		return "", "", apperr.ServiceUnavailable(err)
	}
	invited, codeFailed := s.signUps.CheckInvite(in.InviteCode)
	return location, secret.browser, s.insertFlow(ctx, secret, flow{Provider: name, RedirectURI: in.RedirectURI,
		CodeChallenge: in.CodeChallenge, Client: in.Client, Invited: invited, CodeFailed: codeFailed})
}

// flow is a sign-in that is at a provider.
type flow struct {
	Provider, RedirectURI, CodeChallenge string
	Client                               *string
	Invited, CodeFailed                  bool
}

// callback finishes a sign-in at the provider and returns the address of the application to which
// the browser returns, with a code or an error. An unknown or used state, or another browser, is
// 400 INVALID_STATE: then nothing is known about the application either.
func (s *Service) callback(ctx context.Context, name string, secret secretsOf, answer callbackAnswer,
	device request.Device) (string, error) {
	provider := s.providers[name]
	if provider == nil {
		return "", errProviderNotFound()
	}
	flow, ok, err := s.takeFlow(ctx, name, secret)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", errInvalidState()
	}
	device.Client = flow.Client
	result, err := s.finish(ctx, provider, flow, secret, answer, device)
	return flow.returnTo(result), err
}

// finish asks the provider about the user and decides what the application is told.
func (s *Service) finish(ctx context.Context, provider provider, flow flow, secret secretsOf, answer callbackAnswer,
	device request.Device) (outcome, error) {
	switch {
	case answer.Error == string(failedDenied):
		return outcome{failure: failedDenied}, nil
	case answer.Error != "" || answer.Code == "":
		return outcome{failure: failedProvider}, nil
	}
	said, err := provider.claims(ctx, answer, secret)
	if err != nil {
		s.Log.Warn("a sign-in with a provider failed", "provider", flow.Provider, "error", err.Error())
		if errors.Is(err, errUnreachable) {
			return outcome{failure: failedUnavailable}, nil
		}
		return outcome{failure: failedProvider}, nil
	}
	if _, err := mailaddr.Parse(said.Email); err != nil {
		said.Email, said.EmailVerified = "", false // no account can have the address
	}
	return s.resolve(ctx, flow, said, device)
}

// outcome is the result of a sign-in with a provider: a code, or a failure.
type outcome struct {
	failure   failure
	linkToken string // with failedLink
	code      string
}

// failure is the parameter error with which a sign-in returns to the application.
type failure string

const (
	failedDenied      failure = "access_denied"           // the person refused at the provider
	failedUnavailable failure = "temporarily_unavailable" // the provider does not answer
	failedProvider    failure = "provider_error"          // the answer of the provider breaks a rule
	failedEmail       failure = "email_not_verified"      // at the provider, or in the account
	failedBanned      failure = "account_banned"
	failedSignup      failure = "signup_disabled" // there is no account, and none may be made
	failedLink        failure = "link_required"   // an account has the address; its password is needed
)

// returnTo returns the redirect_uri with the outcome added to its query.
func (f flow) returnTo(o outcome) string {
	values := url.Values{}
	switch {
	case o.failure == "":
		values.Set("code", o.code)
	case o.linkToken != "":
		values.Set("link_token", o.linkToken)
		fallthrough
	default:
		values.Set("error", string(o.failure))
	}
	separator := "?"
	if strings.Contains(f.RedirectURI, "?") {
		separator = "&"
	}
	return f.RedirectURI + separator + values.Encode()
}

// decide returns what becomes of a sign-in without an identity. found is the account with the
// address, if there is one.
func (s *Service) decide(said claims, found account.Account, exists bool) failure {
	switch {
	case said.Email == "":
		return failedEmail
	case exists && found.IsBanned:
		return failedBanned
	case exists && (!said.EmailVerified || !found.EmailVerified):
		return failedLink
	case exists:
		return ""
	case !said.EmailVerified:
		return failedEmail
	case s.signUps.Allowed(said.Email) != nil:
		return failedSignup
	}
	return ""
}

// newAccount returns the account of a user who signs up with a provider. It has no password.
func (s *Service) newAccount(flow flow, said claims) account.Draft {
	alias := account.DefaultAlias(said.Email)
	if name := strings.TrimSpace(said.Name); account.ValidAlias(name) {
		alias = name
	}
	return account.Draft{Email: said.Email, PasswordHash: s.accounts.Hasher.Unusable(), Alias: alias,
		Method: flow.Provider, Client: flow.Client, Verified: true, Invited: flow.Invited,
		CodeFailed: flow.CodeFailed, CreatedAt: s.Now()}
}
