// Package oidc provides sign-in with other providers: any issuer of OpenID Connect (OpenID Connect
// Core 1.0, with discovery) and GitHub (OAuth 2.0). The product is the relying party. The package
// serves /auth/oidc/{name}, /auth/google, /auth/github, /auth/exchange, /auth/link and
// /users/me/identities. Start reading at Service.begin and Service.callback in flow.go.
package oidc

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/signin"
	"github.com/realmgate/realmgate/users-svc/internal/signup"
)

// Service signs users in with providers and manages the identities that accounts have there.
type Service struct {
	*core.Core
	accounts     *account.Service
	signIns      *signin.Service
	signUps      *signup.Service
	providers    map[string]provider
	redirectURIs []string
	secureCookie bool
}

// New returns the domain. publicURL is where people reach the product, without a final slash:
// providers return to addresses below it. No provider is contacted before the first sign-in.
func New(accounts *account.Service, signIns *signin.Service, signUps *signup.Service, cfg Config,
	publicURL string) *Service {
	s := &Service{Core: accounts.Core, accounts: accounts, signIns: signIns, signUps: signUps,
		providers:    map[string]provider{},
		redirectURIs: append(cfg.redirectURIs(), publicURL, publicURL+"/"),
		secureCookie: strings.HasPrefix(publicURL, "https://")}
	client := newClient()
	for name, issuer := range cfg.Issuers {
		s.providers[name] = newIssuer(issuer, issuer.issuerOf(name), callbackURL(publicURL, name), client, s.Now)
	}
	if cfg.GitHub.ClientID != "" {
		s.providers[github] = newGitHub(cfg.GitHub, callbackURL(publicURL, github), client)
	}
	return s
}

// callbackURL returns the address to which a provider returns.
func callbackURL(publicURL, name string) string {
	if name == google || name == github {
		return publicURL + "/api/v1/auth/" + name + "/callback"
	}
	return publicURL + "/api/v1/auth/oidc/" + name + "/callback"
}

// Providers lists the providers of the settings for sign-in screens, by name.
func (c Config) Providers() []signup.Provider {
	out := []signup.Provider{}
	for _, name := range slices.Sorted(maps.Keys(c.Issuers)) {
		out = append(out, signup.Provider{Name: name, Label: c.Issuers[name].labelOf(name)})
	}
	if c.GitHub.ClientID != "" {
		out = append(out, signup.Provider{Name: github, Label: "GitHub"})
	}
	slices.SortFunc(out, func(a, b signup.Provider) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

const (
	// flowTTL is how long a person may take at the provider.
	flowTTL = 10 * time.Minute
	// codeTTL is how long a code waits for its exchange.
	codeTTL = time.Minute
	// linkTTL is how long a person may take to enter the password of the account to be linked.
	linkTTL = 10 * time.Minute
)

func errProviderNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "PROVIDER_NOT_FOUND", "Sign-in provider not found")
}

func errInvalidState() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_STATE",
		"This sign-in was already used, took too long, or began in another browser").WithPage(invalidStatePage)
}

func errInvalidCode() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_EXCHANGE_CODE",
		"Invalid or expired code, or another verifier or address than it was made for")
}

func errInvalidLinkToken() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_LINK_TOKEN", "Invalid or expired link token")
}

func errIdentityNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "IDENTITY_NOT_FOUND", "Identity not found")
}
