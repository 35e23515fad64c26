package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// issuer is a provider with OpenID Connect.
type issuer struct {
	cfg    IssuerConfig
	url    string
	oauth  oauth2.Config // without the endpoints
	client *http.Client
	now    func() time.Time

	discovery singleflight.Group
	mu        sync.Mutex
	found     *gooidc.Provider // nil: not discovered yet
	foundAt   time.Time
}

// discoveryAge is how long the metadata of an issuer is used before it is read again.
const discoveryAge = time.Hour

func newIssuer(cfg IssuerConfig, url, callback string, client *http.Client, now func() time.Time) *issuer {
	return &issuer{cfg: cfg, url: url, client: client, now: now, oauth: oauth2.Config{
		ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret.Reveal(), RedirectURL: callback,
		Scopes: strings.Fields(cfg.Scopes)}}
}

// discover returns the metadata of the issuer (OpenID Connect Discovery 1.0, section 4). It reads
// them at the first use and after discoveryAge; when that fails, it goes on with those it has.
func (i *issuer) discover(ctx context.Context) (*gooidc.Provider, error) {
	i.mu.Lock()
	found, fresh := i.found, i.found != nil && i.now().Sub(i.foundAt) < discoveryAge
	i.mu.Unlock()
	if fresh {
		return found, nil
	}
	read, err, _ := i.discovery.Do("", func() (any, error) {
		// The result is for all who wait for it, so it does not end with one request.
		p, err := gooidc.NewProvider(gooidc.ClientContext(context.WithoutCancel(ctx), i.client), i.url)
		if err != nil {
			return nil, err
		}
		for _, endpoint := range []string{p.Endpoint().AuthURL, p.Endpoint().TokenURL} {
			if u, err := url.Parse(endpoint); err != nil || !secure(u) {
				return nil, fmt.Errorf("the endpoint %q of %s is not https", endpoint, i.url)
			}
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		i.found, i.foundAt = p, i.now()
		return p, nil
	})
	switch {
	case err == nil:
		return read.(*gooidc.Provider), nil
	case found != nil:
		return found, nil
	}
	return nil, fmt.Errorf("%w: %w", errUnreachable, err)
}

// authURL returns the address of the authorization endpoint with PKCE (RFC 7636), state and nonce.
func (i *issuer) authURL(ctx context.Context, flow secretsOf) (string, error) {
	found, err := i.discover(ctx)
	if err != nil {
		return "", err
	}
	oauth := i.oauth
	oauth.Endpoint = found.Endpoint()
	return oauth.AuthCodeURL(flow.state, oauth2.S256ChallengeOption(flow.verifier()), gooidc.Nonce(flow.nonce())), nil
}

// claims exchanges the code and verifies the ID token (OpenID Connect Core, section 3.1.3.7).
func (i *issuer) claims(ctx context.Context, answer callbackAnswer, flow secretsOf) (claims, error) {
	var out claims
	err := noting(ctx, func(ctx context.Context) error {
		found, err := i.discover(ctx)
		if err != nil {
			return err
		}
		if answer.Issuer != "" && answer.Issuer != i.url {
			return fmt.Errorf("the answer is of the issuer %q", answer.Issuer)
		}
		ctx = gooidc.ClientContext(ctx, i.client)
		oauth := i.oauth
		oauth.Endpoint = found.Endpoint()
		tokens, err := oauth.Exchange(ctx, answer.Code, oauth2.VerifierOption(flow.verifier()))
		if err != nil {
			return fmt.Errorf("exchange the code: %w", withoutBody(err))
		}
		verified, err := i.verify(ctx, found, tokens, flow.nonce())
		if err == nil {
			out, err = i.read(ctx, found, verified, tokens)
		}
		return err
	})
	return out, err
}

// verify checks signature, issuer, audience, authorized party, expiry, nonce and access token hash
// of the ID token. The keys are read each time, so that a key which the issuer has withdrawn is not
// accepted any more.
func (i *issuer) verify(ctx context.Context, found *gooidc.Provider, tokens *oauth2.Token,
	nonce string) (*gooidc.IDToken, error) {
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("the answer has no ID token")
	}
	token, err := found.VerifierContext(ctx, &gooidc.Config{ClientID: i.cfg.ClientID, Now: i.now}).Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	var party struct {
		AuthorizedParty string `json:"azp"`
	}
	if err := token.Claims(&party); err != nil {
		return nil, err
	}
	switch {
	case token.Nonce != nonce:
		return nil, errors.New("the ID token has another nonce")
	case party.AuthorizedParty != i.cfg.ClientID && (party.AuthorizedParty != "" || len(token.Audience) > 1):
		return nil, fmt.Errorf("the ID token was issued to the client %q", party.AuthorizedParty)
	case token.Subject == "" || len(token.Subject) > maxSubject || strings.Contains(token.Subject, "\x00"):
		return nil, errors.New("the ID token has no usable subject")
	case token.AccessTokenHash != "":
		return token, token.VerifyAccessToken(tokens.AccessToken)
	}
	return token, nil
}

// maxSubject is the longest subject, in bytes (OpenID Connect Core, section 2).
const maxSubject = 255

// profile are the claims about the user. EmailVerified is any, because only the boolean true means
// that the address is verified: a text "true" or "false" would be read as true by other parsers.
type profile struct {
	Subject       string `json:"sub"`
	Email         string `json:"email"`
	EmailVerified any    `json:"email_verified"`
	Name          string `json:"name"`
}

// read returns the claims of a verified ID token. When it has no address, those of the userinfo
// endpoint are used (OpenID Connect Core, section 5.3), which must be of the same subject.
func (i *issuer) read(ctx context.Context, found *gooidc.Provider, token *gooidc.IDToken,
	tokens *oauth2.Token) (claims, error) {
	var p profile
	if err := token.Claims(&p); err != nil {
		return claims{}, err
	}
	asks := slices.Contains(i.oauth.Scopes, gooidc.ScopeEmail) && found.UserInfoEndpoint() != ""
	if p.Email == "" && asks {
		info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
		if err != nil {
			return claims{}, err
		}
		if info.Subject != token.Subject {
			return claims{}, errors.New("the userinfo endpoint answers with another subject")
		}
		if err := info.Claims(&p); err != nil {
			return claims{}, err
		}
	}
	verified, isBool := p.EmailVerified.(bool)
	return claims{Issuer: i.url, Subject: token.Subject, Email: p.Email, EmailVerified: isBool && verified,
		Name: p.Name}, nil
}

// withoutBody returns err without the body of the provider's answer, which could hold a secret.
func withoutBody(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response != nil {
		return fmt.Errorf("%s %s", refused.Response.Status, refused.ErrorCode)
	}
	return err
}
