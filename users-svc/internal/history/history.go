// Package history provides the security history of an account, and the counts of failed sign-ins by
// address. It serves GET /users/me/security-history. Start reading at Record in history_store.go.
package history

import (
	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Service answers requests for security histories.
type Service struct{ *core.Core }

// New returns the domain.
func New(c *core.Core) *Service { return &Service{c} }

// Event is an event to be recorded. The store adds its id and its time.
type Event struct {
	UserID string // "" for no user
	Kind   string // one of the constants of this package
	Failed bool
	Device request.Device
}

// entry is a recorded event as its user sees it.
type entry struct {
	ID        string   `json:"id"`
	Event     string   `json:"event"`
	Outcome   string   `json:"outcome"` // success or failed
	IPAddress string   `json:"ip_address"`
	Client    *string  `json:"client"`
	CreatedAt api.Time `json:"created_at"`
}

// listFilter selects the entries of a list. It always has the successful sign-ins.
type listFilter struct {
	UserID          string
	IncludeFailed   bool // also failed sign-ins
	IncludeSecurity bool // also all events other than Login
	Page, Limit     int  // Page counts from 1
}
