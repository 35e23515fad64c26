package users

import (
	"fmt"
	"strings"
)

// revoked is what a change took away from an account. The password is not counted.
type revoked struct {
	Sessions, Tokens int64 // live sessions; auth tokens
	SecondFactor     bool
}

// updated is an account after a change, and what the change revoked.
type updated struct {
	account
	Changed flagChange
	Revoked revoked
}

// String lists what was revoked, for an operator.
func (r revoked) String() string {
	parts := []string{fmt.Sprintf("sessions: %d", r.Sessions), fmt.Sprintf("auth tokens: %d", r.Tokens)}
	if r.SecondFactor {
		parts = append(parts, "second factor")
	}
	return strings.Join(parts, ", ")
}
