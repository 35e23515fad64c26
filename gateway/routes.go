package gateway

import (
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/gateway/console"
)

// access says who may use a route.
type access uint8

const (
	public     access = iota // everyone; a credential is ignored
	user                     // a user by session or auth token, not banned
	evenBanned               // the same, banned too
	admin                    // an admin's session
	anyRealm                 // as user; an auth token may use it outside of its realms too
)

// rateClass is a limit that a request is counted against besides its user's or address's.
type rateClass uint8

const (
	noClass rateClass = iota
	signup
	verify
	resend
	retrySetup
	uncounted // a load balancer's probe, or a file that costs less than counting it
)

// target is the process that answers.
type target uint8

const (
	here target = iota // the gateway itself
	toUsers
	toVault
	toActivity
)

// audience returns the index of the target among the audiences of internal identities.
func (t target) audience() int { return int(t - toUsers) }

// trait marks a special property of a route.
type trait uint16

const (
	takesRealm    trait = 1 << iota // ?realm_id= names the realm that the request is about
	vaultKey                        // the last segment is a vault key, which the service validates
	passesBearer                    // the service reads the Authorization header itself
	webPage                         // the service answers with HTML
	takesRefresh                    // a refresh token in the body stands in for a missing or expired credential
	givesRefresh                    // the answer may have a refresh token, which the console gets as a cookie
	cookieSession                   // a route of the console's session, which exists unless CONSOLE is off
	conditional                     // the service evaluates conditional headers (RFC 9110, section 13)
	eventStream                     // the service answers with server-sent events
	export                          // the service answers with a file of any length
	ofUser                          // the user in the path must exist, which the service does not know
	redirects                       // the service sends a browser elsewhere, and knows it again by a cookie
	vaultBatch                      // the answer may be large
)

// bodyClass says how large the body of a request may be.
type bodyClass uint8

const (
	fieldsBody bodyClass = iota // some fields with short values
	objectBody                  // among the fields is a JSON object of up to 64 KB
	vaultBody                   // as large as a value of the vault
)

// routeRow is one line of the table. Methods are separated by spaces; {parameters} of a path are
// one segment each. A path with and without a trailing slash is two paths.
type routeRow struct {
	methods, path string
	query         string // the query parameters besides realm_id, separated by spaces
	access        access
	rate          rateClass
	target        target
	traits        trait
	body          bodyClass
	handle        func(*gateway, *fiber.Ctx, *exchange) error // with target here
}

// routeTable is the whole public API.
func routeTable() []routeRow {
	return slices.Concat(signInRoutes(), factorRoutes(), accountRoutes(), dataRoutes(), ownRoutes(), consoleRoutes())
}

// consoleRoutes exist unless CONSOLE is off. The pages are no routes: the console answers a browser
// where nothing else does.
func consoleRoutes() []routeRow {
	return []routeRow{
		{methods: "POST DELETE", path: console.SessionPath, access: public, target: toUsers, traits: cookieSession},
		{methods: "POST", path: console.RefreshPath, access: public, target: toUsers, traits: cookieSession},
		// One page needs dozens of files, which lie in memory.
		{methods: "GET", path: "/console/{file}", access: public, rate: uncounted, handle: (*gateway).consoleFile},
		{methods: "GET", path: "/console/{version}/{file}", access: public, rate: uncounted,
			handle: (*gateway).consoleFile},
		{methods: "GET", path: "/console/{version}/{folder}/{file}", access: public, rate: uncounted,
			handle: (*gateway).consoleFile},
		{methods: "GET", path: "/console/{version}/{folder}/{part}/{file}", access: public, rate: uncounted,
			handle: (*gateway).consoleFile},
	}
}

// providerQuery are the parameters with which a sign-in with another provider begins.
const providerQuery = "redirect_uri code_challenge client invite_code"

func signInRoutes() []routeRow {
	return []routeRow{
		{methods: "POST", path: "/api/v1/auth/signup", access: public, rate: signup, target: toUsers},
		{methods: "POST", path: "/api/v1/auth/verify-email", access: public, rate: verify, target: toUsers},
		{methods: "POST", path: "/api/v1/auth/resend-verification", access: public, rate: resend, target: toUsers},
		{methods: "POST", path: "/api/v1/auth/forgot-password", access: public, rate: resend, target: toUsers},
		{methods: "POST", path: "/api/v1/auth/reset-password", access: public, rate: verify, target: toUsers},
		{methods: "GET", path: "/api/v1/auth/config", access: public, target: toUsers},
		{methods: "GET", path: "/api/v1/auth/available-regions", access: public, target: toUsers},
		{methods: "GET", path: "/.well-known/jwks.json", access: public, target: toUsers},
		{methods: "GET", path: "/verify-email", access: public, target: toUsers, traits: webPage},
		{methods: "GET", path: "/reset-password", access: public, target: toUsers, traits: webPage},
		{methods: "POST", path: "/api/v1/users/auth/login", access: public, target: toUsers, traits: givesRefresh},
		{methods: "POST", path: "/api/v1/users/auth/refresh", access: public, target: toUsers, traits: givesRefresh},
		{methods: "POST", path: "/api/v1/users/auth/logout", access: evenBanned, target: toUsers,
			traits: takesRefresh},

		{methods: "POST", path: "/api/v1/auth/device/code", access: public, target: toUsers},
		{methods: "POST", path: "/api/v1/auth/device/token", access: public, target: toUsers, traits: givesRefresh},
		{methods: "GET", path: "/api/v1/auth/device", query: "user_code", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/auth/device/approve", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/auth/device/deny", access: user, target: toUsers},

		{methods: "GET", path: "/api/v1/auth/oidc/{name}", query: providerQuery, access: public, target: toUsers,
			traits: redirects},
		{methods: "GET", path: "/api/v1/auth/google", query: providerQuery, access: public, target: toUsers,
			traits: redirects},
		{methods: "GET", path: "/api/v1/auth/github", query: providerQuery, access: public, target: toUsers,
			traits: redirects},
		{methods: "GET", path: "/api/v1/auth/oidc/{name}/callback", access: public, target: toUsers,
			traits: redirects | webPage},
		{methods: "GET", path: "/api/v1/auth/google/callback", access: public, target: toUsers, traits: redirects | webPage},
		{methods: "GET", path: "/api/v1/auth/github/callback", access: public, target: toUsers, traits: redirects | webPage},
		{methods: "POST", path: "/api/v1/auth/exchange", access: public, target: toUsers, traits: givesRefresh},
		{methods: "POST", path: "/api/v1/auth/link", access: public, target: toUsers, traits: givesRefresh},
	}
}

// factorRoutes are those of second factors, passkeys and auth tokens.
func factorRoutes() []routeRow {
	return []routeRow{
		{methods: "POST", path: "/api/v1/users/auth/2fa/verify", access: public, target: toUsers,
			traits: passesBearer | givesRefresh},
		{methods: "POST", path: "/api/v1/users/auth/2fa/setup", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/users/auth/2fa/verify-setup", access: user, target: toUsers,
			traits: givesRefresh},
		{methods: "GET", path: "/api/v1/users/auth/2fa/status", access: user, target: toUsers},
		{methods: "DELETE", path: "/api/v1/users/auth/2fa", access: user, target: toUsers, traits: givesRefresh},
		{methods: "POST", path: "/api/v1/users/auth/2fa/backup-codes/regenerate", access: user, target: toUsers},
		{methods: "PUT", path: "/api/v1/users/auth/2fa/token-gate", access: user, target: toUsers},

		{methods: "GET", path: "/api/v1/users/auth/passkeys", access: user, target: toUsers},
		{methods: "PATCH DELETE", path: "/api/v1/users/auth/passkeys/{id}", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/users/auth/passkeys/register/begin", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/users/auth/passkeys/register/finish", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/users/auth/passkeys/login/begin", access: public, target: toUsers},
		{methods: "POST", path: "/api/v1/users/auth/passkeys/login/finish", access: public, target: toUsers,
			traits: givesRefresh},

		{methods: "GET POST", path: "/api/v1/auth/tokens", access: user, target: toUsers, body: objectBody},
		{methods: "GET", path: "/api/v1/auth/tokens/templates", access: user, target: toUsers},
		{methods: "GET", path: "/api/v1/auth/tokens/me", access: anyRealm, target: toUsers},
		{methods: "GET PUT PATCH DELETE", path: "/api/v1/auth/tokens/{id}", access: user, target: toUsers, body: objectBody},
		{methods: "POST", path: "/api/v1/auth/tokens/{id}/copy", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/auth/tokens/{id}/add-realm", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/auth/tokens/{id}/remove-realm", access: user, target: toUsers},
	}
}

func accountRoutes() []routeRow {
	return []routeRow{
		{methods: "GET", path: "/api/v1/users/auth/me", access: evenBanned, target: toUsers},
		{methods: "GET", path: "/api/v1/users/me", access: evenBanned, target: toUsers},
		{methods: "POST", path: "/api/v1/users/me/confirm", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/users/me/email", access: user, target: toUsers},
		{methods: "POST", path: "/api/v1/users/me/retry-setup", access: user, rate: retrySetup, target: toUsers},
		{methods: "GET", path: "/api/v1/users/me/free-tier-status", access: user, target: toUsers},
		{methods: "GET", path: "/api/v1/users/me/security-history", query: "page limit include_failed include_security",
			access: user, target: toUsers},
		{methods: "GET DELETE", path: "/api/v1/users/me/sessions", access: user, target: toUsers},
		{methods: "DELETE", path: "/api/v1/users/me/sessions/{id}", access: user, target: toUsers},
		{methods: "GET DELETE", path: "/api/v1/users/me/identities", access: user, target: toUsers},
		{methods: "DELETE", path: "/api/v1/users/me/identities/{id}", access: user, target: toUsers},
		{methods: "GET", path: "/api/v1/users/{id}", access: evenBanned, target: toUsers},
		{methods: "PATCH PUT", path: "/api/v1/users/{id}", access: user, target: toUsers, body: objectBody},

		{methods: "GET", path: "/api/v1/users", query: "page limit q is_admin is_banned", access: admin, target: toUsers},
		{methods: "POST", path: "/api/v1/users", access: admin, target: toUsers},
		{methods: "POST", path: "/api/v1/users/{id}/ban", access: admin, target: toUsers},
		{methods: "POST", path: "/api/v1/users/{id}/unban", access: admin, target: toUsers},
		{methods: "GET", path: "/api/v1/users/{id}/sessions", access: admin, target: toUsers},
		{methods: "DELETE", path: "/api/v1/users/{id}/sessions/{sid}", access: admin, target: toUsers},
		{methods: "POST", path: "/api/v1/users/{id}/password", access: admin, target: toUsers},
		{methods: "POST", path: "/api/v1/users/{id}/logout", access: admin, target: toUsers},
		{methods: "DELETE", path: "/api/v1/users/{id}/2fa", access: admin, target: toUsers},
		{methods: "GET DELETE", path: "/api/v1/users/{id}/tokens", access: admin, target: toUsers},
		{methods: "DELETE", path: "/api/v1/users/{id}/tokens/{tid}", access: admin, target: toUsers},
		{methods: "PUT", path: "/api/v1/users/{id}/quota", access: admin, target: toUsers},
		{methods: "GET", path: "/api/v1/users/{id}/security-history", query: "page limit include_failed include_security",
			access: admin, target: toUsers},
		{methods: "GET POST", path: "/api/v1/servers", access: admin, target: toUsers},

		{methods: "GET", path: "/api/v1/containers", query: "page limit", access: user, target: toUsers},
		{methods: "GET", path: "/api/v1/containers/", query: "page limit", access: user, target: toUsers},
		{methods: "GET", path: "/api/v1/containers/{id}", access: user, target: toUsers},
		{methods: "GET", path: "/api/v1/projects", query: "page limit", access: user, target: toUsers},
		{methods: "GET", path: "/api/v1/projects/", query: "page limit", access: user, target: toUsers},
		{methods: "GET", path: "/api/v1/projects/{id}", access: user, target: toUsers},
	}
}

// The query parameters that filter the log: those that its counts answer, and those that search.
const (
	activityFilter = "start_date end_date errors_only min_status max_status method"
	activitySearch = "path ip_address auth_id request_id"
)

func dataRoutes() []routeRow {
	return []routeRow{
		{methods: "GET", path: "/api/v1/users/auth/activity",
			query:  "page limit " + activityFilter + " " + activitySearch,
			access: user, target: toActivity, traits: takesRealm},
		{methods: "GET", path: "/api/v1/users/auth/activity/export", query: "format " + activityFilter + " " + activitySearch,
			access: user, target: toActivity, traits: takesRealm | export},
		{methods: "GET", path: "/api/v1/users/auth/activity/series", query: "interval " + activityFilter,
			access: user, target: toActivity, traits: takesRealm},
		{methods: "GET", path: "/api/v1/users/{id}/activity", query: "page limit " + activityFilter + " " + activitySearch,
			access: admin, target: toActivity, traits: takesRealm | ofUser},
		{methods: "GET", path: "/api/v1/users/{id}/activity/stats", query: activitySearch,
			access: admin, target: toActivity, traits: ofUser},
		{methods: "GET", path: "/api/v1/activity/series", query: "interval " + activityFilter,
			access: admin, target: toActivity, traits: takesRealm},
		{methods: "GET", path: "/api/v1/users/auth/activity/stats", query: activitySearch, access: user, target: toActivity},

		{methods: "GET", path: "/api/v1/vault/keys", query: "prefix limit cursor", access: user, target: toVault,
			traits: takesRealm},
		{methods: "GET", path: "/api/v1/vault/keys/{key}", query: "version", access: user, target: toVault,
			traits: takesRealm | vaultKey | conditional},
		{methods: "DELETE", path: "/api/v1/vault/keys/{key}", query: "recoverable", access: user, target: toVault,
			traits: takesRealm | vaultKey | conditional},
		{methods: "PATCH PUT", path: "/api/v1/vault/keys/{key}", access: user, target: toVault,
			traits: takesRealm | vaultKey | conditional, body: vaultBody},
		{methods: "GET", path: "/api/v1/vault/keys/{key}/versions", access: user, target: toVault, traits: takesRealm},
		{methods: "POST", path: "/api/v1/vault/keys/{key}/restore", access: user, target: toVault,
			traits: takesRealm | conditional},
		{methods: "GET DELETE", path: "/api/v1/vault/trash", access: user, target: toVault, traits: takesRealm},
		{methods: "DELETE", path: "/api/v1/vault/trash/{key}", access: user, target: toVault, traits: takesRealm | vaultKey},
		{methods: "GET", path: "/api/v1/vault/export", query: "prefix", access: user, target: toVault,
			traits: takesRealm | export},
		{methods: "POST", path: "/api/v1/vault/batch", access: user, target: toVault, traits: takesRealm | vaultBatch,
			body: vaultBody},
		{methods: "DELETE", path: "/api/v1/vault", query: "recoverable", access: user, target: toVault, traits: takesRealm},
		{methods: "GET", path: "/api/v1/vault/watch", query: "prefix", access: user, target: toVault,
			traits: takesRealm | eventStream},
		{methods: "GET", path: "/api/v1/vault/stats", access: user, target: toVault, traits: takesRealm},
	}
}

// ownRoutes are answered by the gateway itself.
func ownRoutes() []routeRow {
	return []routeRow{
		{methods: "GET", path: "/api/v1/realms", query: "include_usage", access: user, handle: (*gateway).listRealms},
		{methods: "GET", path: "/api/v1/realms/", query: "include_usage", access: user, handle: (*gateway).listRealms},
		{methods: "GET", path: "/healthz", access: public, rate: uncounted, handle: (*gateway).healthz},
		{methods: "GET", path: "/openapi.yaml", access: public, handle: (*gateway).openapiYAML},
		{methods: "GET", path: "/openapi.json", access: public, handle: (*gateway).openapiJSON},
		{methods: "GET", path: "/docs", access: public, handle: (*gateway).docsPage},
		{methods: "GET", path: "/docs/errors/{code}", access: public, handle: (*gateway).docsError},
		{methods: "GET", path: "/docs/{asset}", access: public, handle: (*gateway).docsAsset},
		{methods: "GET", path: "/", access: public, handle: (*gateway).root},
	}
}
