// Package history provides the security history of an account, and the counts of failed sign-ins by
// address. It serves GET /users/me/security-history. Start reading at Record.
package history

import (
	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Entry is one line of a user's security history.
type entry struct {
	ID        string   `json:"id"`
	Event     string   `json:"event"`
	Outcome   string   `json:"outcome"` // success or failed
	IPAddress string   `json:"ip_address"`
	Client    *string  `json:"client"`
	CreatedAt api.Time `json:"created_at"`
}

// Event is what is written into the history; the store adds id and time.
type Event struct {
	UserID string
	Kind   string
	Failed bool
	Device request.Device
}

// filter says which entries to list: successful logins, and on demand failed ones and
// everything else.
type listFilter struct {
	UserID                         string
	IncludeFailed, IncludeSecurity bool
	Page, Limit                    int
}
