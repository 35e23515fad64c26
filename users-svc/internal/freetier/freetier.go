// Package freetier provides the servers of the free tier, and the project and container that an
// account is given on one. It serves /projects, /containers, /servers and the regions. Start reading
// at Service.
package freetier

import (
	"context"
	"log/slog"
	"time"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// Server is a free-tier server as administrators see it. Capacity and Used count accounts.
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

// Region is a place of the inventory; Available says whether a server is free there at this moment.
type Region struct {
	Region    string `json:"region"`
	Country   string `json:"country"`
	City      string `json:"city"`
	Available bool   `json:"available"`
}

// Provisioned is what an account has from the free tier: all three, or none.
type Provisioned struct {
	Server    *ServerSummary    `json:"server"`
	Project   *ProjectSummary   `json:"project"`
	Container *ContainerSummary `json:"container"`
}

// ServerSummary is a server as the account that claimed it sees it.
type ServerSummary struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Country string `json:"country"`
	Region  string `json:"region"`
	City    string `json:"city"`
	IsReady bool   `json:"is_ready"`
}

// ProjectSummary names an account's default project.
type ProjectSummary struct {
	ID    string `json:"id"`
	Alias string `json:"alias"`
}

// ContainerSummary names an account's default container.
type ContainerSummary struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Setup is the answer of retry-setup.
type setupResult struct {
	Provisioned
	BlockedReason *string `json:"blocked_reason"` // nil when there is a server
}

// FreeTierStatus says what a claim would do, without doing it.
type claimStatus struct {
	GateEnabled        bool   `json:"gate_enabled"` // an invite code is needed
	Unlocked           bool   `json:"unlocked"`
	HasFreeServer      bool   `json:"has_free_server"`
	CanClaim           bool   `json:"can_claim"`
	ClaimBlockedReason string `json:"claim_blocked_reason"` // none, pool_empty or already_claimed
	SignupCodeFailed   bool   `json:"signup_code_failed"`
}

// claimState is where an account stands with the free tier.
type claimState struct {
	invited, codeFailed, admin, claimed bool
}

// What a new account gets, and how retry-setup says that there was nothing left to get.
const (
	defaultProjectAlias  = "Default"
	defaultContainerName = "default"
	containerCreated     = "created"
	blockedNoCapacity    = "admin_recovery_required"
)

// Service hands out the free tier: one server for an account, with a default project and
// container on it.
type Service struct {
	store          *store
	inviteRequired bool // only accounts that came with an invite code, and administrators, may claim
	now            func() time.Time
	log            *slog.Logger
}

// New makes the domain and brings the inventory up to the setting.
func New(ctx context.Context, c *core.Core, servers Inventory, inviteRequired bool) (*Service, error) {
	service := &Service{store: &store{c.Pool}, inviteRequired: inviteRequired, now: c.Now, log: c.Log}
	return service, service.store.seed(ctx, servers, c.Now())
}

// setup gives the account its server, project and container, exactly once however often it is
// called, and returns what the account has. A region is kept to strictly: an account is bound to
// its server for good, so it must not land elsewhere unasked. "" is any.
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

func (s *Service) eligible(state claimState) bool {
	return !s.inviteRequired || state.invited || state.admin
}

// checkRegion refuses a region that the inventory does not have; "" passes.
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

// status says what setup would do for the user.
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

// ProvisionNew makes provisioning a placement: it claims the server of a new account, so that its
// first login shows it. The account exists whatever happens here, and retry-setup makes up for it,
// so a failure is logged and not returned. An unknown region claims nothing.
func (s *Service) ProvisionNew(ctx context.Context, userID, region string) {
	if _, err := s.setup(ctx, userID, region); err != nil && !apperr.Is(err, "VALIDATION_ERROR") &&
		!apperr.Is(err, "FREE_TIER_INVITE_REQUIRED") {
		s.log.WarnContext(ctx, "no free server at sign-up; retry-setup will try again", "user_id", userID, "error",
			err.Error())
	}
}

// Of makes provisioning a placement.
func (s *Service) Of(ctx context.Context, userID string) (Provisioned, error) {
	return s.store.provisioned(ctx, userID)
}
