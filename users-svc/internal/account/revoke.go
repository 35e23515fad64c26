package account

import (
	"fmt"
	"strings"
)

// Revoked is what a change took away from an account. The password is not counted.
type Revoked struct {
	Sessions, Tokens int64 // live sessions; auth tokens
	SecondFactor     bool
}

// Updated is an account after a change, and what the change revoked.
type Updated struct {
	Account
	Changed flagChanges
	Revoked Revoked
}

// String lists what was revoked, for an operator.
func (r Revoked) String() string {
	parts := []string{fmt.Sprintf("sessions: %d", r.Sessions), fmt.Sprintf("auth tokens: %d", r.Tokens)}
	if r.SecondFactor {
		parts = append(parts, "second factor")
	}
	return strings.Join(parts, ", ")
}
