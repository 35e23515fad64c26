// Package internalapi provides the names and bodies of the internal HTTP API, which the services
// serve to the gateway under /internal and which no client can reach.
//
// Six headers carry messages between the gateway and the services. OnUserHeader, OperationsHeader
// and CookieSessionHeader are here. The other three stand beside their codecs: auth.IdentityHeader
// (who calls), auth.RefusedHeader (why a service rejects an identity) and sessionstate.ChangedHeader
// (session states that an answer made stale).
//
// Start reading at the paths: each names the service that serves it and the type of its body.
package internalapi

// Paths of the internal API. An id follows a path that ends in a slash.
const (
	// KeysPath, of users-svc, answers the public keys of access tokens (auth.Published).
	KeysPath = "/internal/keys"
	// SessionsPath, of users-svc, is followed by a session id and answers a sessionstate.State.
	SessionsPath = "/internal/sessions/"
	// TokensPath, of users-svc, is followed by the hash of an auth token and answers a
	// sessionstate.State.
	TokensPath = "/internal/tokens/"
	// TokenUsedSuffix follows TokensPath and a token id; a POST of TokenUse records the use.
	TokenUsedSuffix = "/used"
	// UsersPath, of users-svc, is followed by a user id and answers a UserFound.
	UsersPath = "/internal/users/"
	// RealmsPath, of each service, answers the RealmList of ?user_id=.
	RealmsPath = "/internal/realms"
	// ReadableRealmsPath, of vault-svc, answers the RealmList of ?user_id= for the keys that begin
	// with one of the comma-separated ?prefixes=. It is not RealmsPath with a parameter, which a
	// vault-svc of the previous release would ignore.
	ReadableRealmsPath = "/internal/vault/realms"
	// InstallationPath, of activity-svc, answers an event.Installation.
	InstallationPath = "/internal/installation"
)

// OnUserHeader of an answer names the user on whom an admin acted, so that the gateway records the
// event for both users.
const OnUserHeader = "X-Realmgate-On-User"

// CookieSessionHeader of a refresh or logout that the gateway makes for the console, with the value
// 1, says that the refresh token comes from a cookie. A refresh then never returns a token that
// another refresh has made (the answer has no refreshToken), and rejects a token that was replaced
// before REFRESH_GRACE. A logout ends the session of the token only, and is answered 200 also when
// there is none. Services of the previous release ignore the header.
const CookieSessionHeader = "X-Realmgate-Cookie-Session"

// UserFound tells whether there is a user.
type UserFound struct {
	Found bool `json:"found"`
}

// OperationsHeader of an answer is the number of bytes, at most MaxOperations, at the start of its
// body that are a JSON array of Operation. The gateway records these and removes them. A header is
// too small for the paths of a batch.
const (
	OperationsHeader = "X-Realmgate-Operations"
	MaxOperations    = 64 << 10
)

// Operation is one operation of a batch, described as the single request that it stands for.
type Operation struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Status int    `json:"status"`
}

// Names of the cookie that binds a sign-in with another provider to the browser in which it began.
// users-svc sets it, and the gateway forwards it to the routes of such sign-ins only. With TLS no
// other host can set it, because of its prefix (RFC 6265bis, section 4.1.3.2).
const (
	SignInCookie       = "realmgate-signin" // without TLS
	SecureSignInCookie = "__Host-realmgate-signin"
)

// TokenUse reports that an auth token was used.
type TokenUse struct {
	IP string `json:"ip"`
}

// RealmUsage is the data that one service holds of a user in one realm.
type RealmUsage struct {
	RealmID   string `json:"realm_id"`
	Count     int64  `json:"count"`
	SizeBytes int64  `json:"size_bytes"`
}

// RealmList is the answer of RealmsPath.
type RealmList struct {
	Realms []RealmUsage `json:"realms"`
}
