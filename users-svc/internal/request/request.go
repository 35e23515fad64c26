// Package request provides the checks that handlers make of a request: the caller by role or
// permission, the device that sent it, and the user whom an admin acts on. Start reading at User in
// request_http.go.
package request

// Device is where a request comes from, which a session is known by to its user.
type Device struct {
	Address   string  // of the client, without a port
	UserAgent string  // at most maxUserAgent characters
	Client    *string // as the client named itself
	// of the session that sent it, "" for none: a password or a code that it proves confirms that
	// session
	SessionID string
}

// Proof is what a request brings along to prove that the user of the account sends it; "" for
// nothing.
type Proof struct{ Password, Code string }
