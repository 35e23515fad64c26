package apperr

import "time"

// Constructors of the errors in the contract's section 2 that more than one service returns. Each
// call returns a new value.

// MissingToken is 401 MISSING_TOKEN.
func MissingToken() *Error {
	return New(Unauthenticated, "MISSING_TOKEN", "Authentication token required")
}

// InvalidToken is 401 INVALID_TOKEN.
func InvalidToken() *Error {
	return New(Unauthenticated, "INVALID_TOKEN", "Invalid authentication token")
}

// TokenExpired is 401 TOKEN_EXPIRED.
func TokenExpired() *Error { return New(Unauthenticated, "TOKEN_EXPIRED", "Token has expired") }

// InsufficientPermissions is 403 INSUFFICIENT_PERMISSIONS.
func InsufficientPermissions() *Error {
	return New(Forbidden, "INSUFFICIENT_PERMISSIONS", "Insufficient permissions")
}

// AccountBanned is 403 ACCOUNT_BANNED.
func AccountBanned() *Error { return New(Forbidden, "ACCOUNT_BANNED", "Your account is banned") }

// RouteNotFound is 404 NOT_FOUND: there is no such route.
func RouteNotFound() *Error { return New(NotFound, "NOT_FOUND", "Resource not found") }

// InvalidID is 400 INVALID_ID_FORMAT: an id in the path is not 24 lower-case hexadecimal
// characters.
func InvalidID() *Error { return New(Invalid, "INVALID_ID_FORMAT", "Invalid ID format") }

// PayloadTooLarge is 413 PAYLOAD_TOO_LARGE: the body is over the limit of its route.
func PayloadTooLarge() *Error {
	return New(TooLarge, "PAYLOAD_TOO_LARGE", "Request body is too large")
}

// RateLimitExceeded is 429 RATE_LIMITED; retryAfter is when the next request may pass.
func RateLimitExceeded(retryAfter time.Duration) *Error {
	return New(RateLimited, "RATE_LIMITED", "Rate limit exceeded").WithRetryAfter(max(retryAfter, time.Second))
}

// ServiceUnavailable is 503 SERVICE_UNAVAILABLE; cause goes to the log only.
func ServiceUnavailable(cause error) *Error {
	return Wrap(cause, Unavailable, "SERVICE_UNAVAILABLE",
		"Service temporarily unavailable").WithRetryAfter(time.Second)
}

// Validation is 400 VALIDATION_ERROR with one entry for each broken rule.
func Validation(violations ...Violation) *Error {
	e := New(Invalid, "VALIDATION_ERROR", "Validation failed")
	e.Violations = violations
	return e
}

// InvalidField is Validation for a single rule; path is a JSON pointer or "/" and a query
// parameter's name.
func InvalidField(path, message string) *Error {
	return Validation(Violation{InstancePath: path, Message: message})
}

// BadRequest is 400 BAD_REQUEST: the request is malformed HTTP. The cause may be nil.
func BadRequest(cause error) *Error {
	return Wrap(cause, Invalid, "BAD_REQUEST", "Malformed HTTP request")
}
