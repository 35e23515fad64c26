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
type Setup struct {
	Provisioned
	BlockedReason *string `json:"blocked_reason"` // nil when there is a server
}

// FreeTierStatus says what a claim would do, without doing it.
type FreeTierStatus struct {
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
	p := &Service{store: &store{c.Pool}, inviteRequired: inviteRequired, now: c.Now, log: c.Log}
	return p, p.store.seed(ctx, servers, c.Now())
}

// setup gives the account its server, project and container, exactly once however often it is
// called, and returns what the account has. A region is kept to strictly: an account is bound to
// its server for good, so it must not land elsewhere unasked. "" is any.
func (p *Service) setup(ctx context.Context, userID, region string) (Setup, error) {
	if err := p.checkRegion(ctx, region); err != nil {
		return Setup{}, err
	}
	account, err := p.store.account(ctx, userID)
	switch {
	case err != nil:
		return Setup{}, err
	case !account.claimed && !p.eligible(account):
		return Setup{}, apperr.New(apperr.Forbidden, "FREE_TIER_INVITE_REQUIRED",
			"An invite code is required for the free tier").WithCodeInError()
	}
	got, err := p.store.claim(ctx, userID, region, p.now())
	if err != nil {
		return Setup{}, err
	}
	out := Setup{Provisioned: got}
	if got.Server == nil {
		reason := blockedNoCapacity
		out.BlockedReason = &reason
	}
	return out, nil
}

func (p *Service) eligible(a claimState) bool { return !p.inviteRequired || a.invited || a.admin }

// checkRegion refuses a region that the inventory does not have; "" passes.
func (p *Service) checkRegion(ctx context.Context, region string) error {
	if region == "" {
		return nil
	}
	known, err := p.store.hasRegion(ctx, region)
	if err == nil && !known {
		err = apperr.InvalidField("/region", "must be one of the available regions")
	}
	return err
}

// status says what setup would do for the user.
func (p *Service) status(ctx context.Context, userID string) (FreeTierStatus, error) {
	account, err := p.store.account(ctx, userID)
	if err != nil {
		return FreeTierStatus{}, err
	}
	free, err := p.store.anyFree(ctx)
	if err != nil {
		return FreeTierStatus{}, err
	}
	s := FreeTierStatus{
		GateEnabled: p.inviteRequired, Unlocked: p.eligible(account), HasFreeServer: account.claimed,
		SignupCodeFailed:   account.codeFailed,
		ClaimBlockedReason: "none",
	}
	switch {
	case account.claimed:
		s.ClaimBlockedReason = "already_claimed"
	case !free:
		s.ClaimBlockedReason = "pool_empty"
	default:
		s.CanClaim = s.Unlocked
	}
	return s, nil
}

// ProvisionNew makes provisioning a placement: it claims the server of a new account, so that its
// first login shows it. The account exists whatever happens here, and retry-setup makes up for it,
// so a failure is logged and not returned. An unknown region claims nothing.
func (p *Service) ProvisionNew(ctx context.Context, userID, region string) {
	if _, err := p.setup(ctx, userID, region); err != nil && !apperr.Is(err, "VALIDATION_ERROR") &&
		!apperr.Is(err, "FREE_TIER_INVITE_REQUIRED") {
		p.log.WarnContext(ctx, "no free server at sign-up; retry-setup will try again", "user_id", userID, "error",
			err.Error())
	}
}

// Of makes provisioning a placement.
func (p *Service) Of(ctx context.Context, userID string) (Provisioned, error) {
	return p.store.provisioned(ctx, userID)
}
