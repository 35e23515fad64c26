// Package request provides the checks that handlers make of a request: the caller by role or
// permission, the device that sent it, and the user whom an admin acts on. Start reading at User in
// request_http.go.
package request

// Device describes the client that sent a request. Sessions and the security history show it to
// their user.
type Device struct {
	Address   string  // of the client, without a port
	UserAgent string  // at most maxUserAgent characters
	Client    *string // the name that the client gave itself; nil for none
	// SessionID is the session that sent the request, "" for none. A correct password or code
	// confirms that session.
	SessionID string
}

// Proof holds the credentials that a request repeats to confirm that it comes from the user of the
// account. A field that was not sent is "".
type Proof struct{ Password, Code string }
