package account

import (
	"fmt"
	"strings"
)

// Revoked counts the access that a change took away from an account. The password is not counted.
type Revoked struct {
	Sessions, Tokens int64 // live sessions, and auth tokens
	SecondFactor     bool
}

// String lists the revoked access for an operator.
func (r Revoked) String() string {
	parts := []string{fmt.Sprintf("sessions: %d", r.Sessions), fmt.Sprintf("auth tokens: %d", r.Tokens)}
	if r.SecondFactor {
		parts = append(parts, "second factor")
	}
	return strings.Join(parts, ", ")
}
