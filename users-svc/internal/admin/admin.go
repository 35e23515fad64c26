// Package admin provides the operations of admins and operators on accounts: create, list, ban, log
// out, set quotas, promote and import. It serves the routes below /users that need an admin. Start
// reading at Service.
package admin

import (
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// Service changes accounts on behalf of admins and of the operator's commands.
type Service struct {
	*core.Core
	accounts    *account.Service
	sessions    *session.Service
	history     *history.Service
	hasher      *passwords.Hasher
	policy      passwords.Policy
	mailEnabled bool // without a mail server every address counts as verified
}

// New returns the domain of administration. sessions and history may be nil for commands, which use
// neither. mailOn tells whether a mail server is configured.
func New(accounts *account.Service, sessions *session.Service, history *history.Service, policy passwords.Policy,
	mailOn bool) *Service {
	return &Service{Core: accounts.Core, accounts: accounts, sessions: sessions, history: history,
		hasher: accounts.Hasher, policy: policy, mailEnabled: mailOn}
}

const (
	maxBanReason = 500
	mebibyte     = 1 << 20
	maxQuotaMB   = 1 << 20
)
