// Package freetier provides the free tier: an account claims a place on one server, and gets a
// default project and container there. It serves /projects, /containers, /servers,
// /auth/available-regions, /users/me/retry-setup and /users/me/free-tier-status. Start reading at
// Service.
package freetier

import (
	"context"
	"log/slog"
	"time"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// Server is a free-tier server as admins see it. Capacity and Used count accounts.
type Server struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Region    string   `json:"region"`
	Country   string   `json:"country"`
	City      string   `json:"city"`
	Capacity  int      `json:"capacity"`
	Used      int      `json:"used"`
	CreatedAt api.Time `json:"created_at"`
	UpdatedAt api.Time `json:"updated_at"`
}

// Region is a region with servers. Available tells whether a server there has a free place now.
type Region struct {
	Region    string `json:"region"`
	Country   string `json:"country"`
	City      string `json:"city"`
	Available bool   `json:"available"`
}

// Provisioned holds the free-tier resources of an account: all three, or none.
type Provisioned struct {
	Server    *ServerSummary    `json:"server"`
	Project   *ProjectSummary   `json:"project"`
	Container *ContainerSummary `json:"container"`
}

// ServerSummary is a server as an account with a place on it sees it.
type ServerSummary struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Country string `json:"country"`
	Region  string `json:"region"`
	City    string `json:"city"`
	IsReady bool   `json:"is_ready"`
}

// ProjectSummary is the default project of an account.
type ProjectSummary struct {
	ID    string `json:"id"`
	Alias string `json:"alias"`
}

// ContainerSummary is the default container of an account.
type ContainerSummary struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// setupResult is the answer of retry-setup.
type setupResult struct {
	Provisioned
	BlockedReason *string `json:"blocked_reason"` // nil when the account has a server
}

// claimStatus tells whether the account could claim a place now.
type claimStatus struct {
	GateEnabled        bool   `json:"gate_enabled"` // a place needs an invite code
	Unlocked           bool   `json:"unlocked"`
	HasFreeServer      bool   `json:"has_free_server"`
	CanClaim           bool   `json:"can_claim"`
	ClaimBlockedReason string `json:"claim_blocked_reason"` // none, pool_empty or already_claimed
	SignupCodeFailed   bool   `json:"signup_code_failed"`
}

// claimState holds the facts about an account that decide whether it may claim a place.
type claimState struct {
	invited, codeFailed, admin, claimed bool
}

// The names and states of new resources, and the reason of retry-setup when no server has a free
// place.
const (
	defaultProjectAlias  = "Default"
	defaultContainerName = "default"
	containerCreated     = "created"
	blockedNoCapacity    = "admin_recovery_required"
)

// Service gives each account a place on one server, with a default project and container.
type Service struct {
	store          *store
	inviteRequired bool // only admins and accounts that signed up with an invite code may claim a place
	now            func() time.Time
	log            *slog.Logger
}

// New returns the domain. It adds the servers of the setting to the database and resizes those that
// are there.
func New(ctx context.Context, c *core.Core, servers Inventory, inviteRequired bool) (*Service, error) {
	service := &Service{store: &store{c.Pool}, inviteRequired: inviteRequired, now: c.Now, log: c.Log}
	return service, service.store.seed(ctx, servers, c.Now())
}

// setup gives the account its place, project and container, once however often it is called, and
// returns them. With a region, it takes only a server there, because an account cannot move later;
// "" is any region. It returns 400 for an unknown region and 403 FREE_TIER_INVITE_REQUIRED.
func (s *Service) setup(ctx context.Context, userID, region string) (setupResult, error) {
	if err := s.checkRegion(ctx, region); err != nil {
		return setupResult{}, err
	}
	state, err := s.store.claimState(ctx, userID)
	switch {
	case err != nil:
		return setupResult{}, err
	case !state.claimed && !s.eligible(state):
		return setupResult{}, apperr.New(apperr.Forbidden, "FREE_TIER_INVITE_REQUIRED",
			"An invite code is required for the free tier").WithCodeInError()
	}
	provisioned, err := s.store.claim(ctx, userID, region, s.now())
	if err != nil {
		return setupResult{}, err
	}
	result := setupResult{Provisioned: provisioned}
	if provisioned.Server == nil {
		reason := blockedNoCapacity
		result.BlockedReason = &reason
	}
	return result, nil
}

// eligible reports whether the account may claim a place.
func (s *Service) eligible(state claimState) bool {
	return !s.inviteRequired || state.invited || state.admin
}

// checkRegion returns 400 VALIDATION_ERROR for a region without servers; "" is valid.
func (s *Service) checkRegion(ctx context.Context, region string) error {
	if region == "" {
		return nil
	}
	known, err := s.store.hasRegion(ctx, region)
	if err == nil && !known {
		err = apperr.InvalidField("/region", "must be one of the available regions")
	}
	return err
}

// status returns whether setup would give the user a place.
func (s *Service) status(ctx context.Context, userID string) (claimStatus, error) {
	state, err := s.store.claimState(ctx, userID)
	if err != nil {
		return claimStatus{}, err
	}
	free, err := s.store.hasFreeServer(ctx)
	if err != nil {
		return claimStatus{}, err
	}
	status := claimStatus{
		GateEnabled: s.inviteRequired, Unlocked: s.eligible(state), HasFreeServer: state.claimed,
		SignupCodeFailed:   state.codeFailed,
		ClaimBlockedReason: "none",
	}
	switch {
	case state.claimed:
		status.ClaimBlockedReason = "already_claimed"
	case !free:
		status.ClaimBlockedReason = "pool_empty"
	default:
		status.CanClaim = status.Unlocked
	}
	return status, nil
}

// ProvisionNew calls setup for a new account, so that its first sign-in shows the resources. It
// returns no error: the account exists in any case, and the user can call retry-setup. It logs
// errors other than an unknown region or a missing invite code.
func (s *Service) ProvisionNew(ctx context.Context, userID, region string) {
	if _, err := s.setup(ctx, userID, region); err != nil && !apperr.Is(err, "VALIDATION_ERROR") &&
		!apperr.Is(err, "FREE_TIER_INVITE_REQUIRED") {
		s.log.WarnContext(ctx, "no free server at sign-up; retry-setup will try again", "user_id", userID, "error",
			err.Error())
	}
}

// Of returns the free-tier resources of an account.
func (s *Service) Of(ctx context.Context, userID string) (Provisioned, error) {
	return s.store.provisioned(ctx, userID)
}
