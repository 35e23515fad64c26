package users

import (
	"github.com/realmgate/realmgate/pkg/api"
)

// HistoryEntry is one line of a user's security history.
type HistoryEntry struct {
	ID        string   `json:"id"`
	Event     string   `json:"event"`
	Outcome   string   `json:"outcome"` // success or failed
	IPAddress string   `json:"ip_address"`
	Client    *string  `json:"client"`
	CreatedAt api.Time `json:"created_at"`
}

// The events of the security history. All but eventLogin are shown with include_security only.
const (
	eventLogin           = "login"
	eventLogout          = "logout"
	eventRefreshReuse    = "refresh_reuse"
	eventSessionEnded    = "session_ended"
	eventSessionsEnded   = "sessions_ended"
	eventSessionLimit    = "session_limit"
	eventPasswordChanged = "password_changed"
	eventPasswordReset   = "password_reset"
	eventPasswordCheck   = "password_check"
	eventEmailVerified   = "email_verified"
	eventBanned          = "banned"
	eventUnbanned        = "unbanned"
	eventAdminGranted    = "admin_granted"
	eventAdminRevoked    = "admin_revoked"
	eventUsernameChanged = "username_changed"
	eventEmailChanged    = "email_changed"
	eventEmailUnverified = "email_unverified"
	eventTokensRevoked   = "tokens_revoked" // deleted by an admin, or by what secured the account
)

// happening is what is written into the history; the store adds id and time.
type happening struct {
	UserID string
	Event  string
	Failed bool
	Device device
}

// historyFilter says which entries to list: successful logins, and on demand failed ones and
// everything else.
type historyFilter struct {
	UserID                         string
	IncludeFailed, IncludeSecurity bool
	Page, Limit                    int
}
