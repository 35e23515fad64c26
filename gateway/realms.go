package gateway

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/sync/errgroup"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

type realmUsage struct {
	VaultKeys       int64 `json:"vault_keys"`
	VaultSizeBytes  int64 `json:"vault_size_bytes"`
	ActivityRecords int64 `json:"activity_records"`
	Tokens          int64 `json:"tokens"`
}

type realmList struct {
	RealmIDs []string              `json:"realm_ids"`
	Total    int                   `json:"total"`
	Usage    map[string]realmUsage `json:"usage,omitzero"`
}

// listRealms asks the three services in which realms the caller has data, and merges their answers.
func (g *gateway) listRealms(c *fiber.Ctx, ex *exchange) error {
	if t := ex.principal.State().Token; t != nil && !t.Grant.Allows(auth.PermRealms) {
		return apperr.InsufficientPermissions()
	}
	q := httpx.Query(c)
	withUsage := q.Bool("include_usage", false)
	if err := q.Err(); err != nil {
		return err
	}
	usage, err := g.realmUsage(c.UserContext(), ex.principal.State())
	if err != nil {
		return apperr.ServiceUnavailable(err)
	}
	if t := ex.principal.State().Token; t != nil && len(t.Grant.Realms) > 0 {
		maps.DeleteFunc(usage, func(realm string, _ realmUsage) bool { return !slices.Contains(t.Grant.Realms, realm) })
	}
	out := realmList{RealmIDs: slices.Sorted(maps.Keys(usage)), Total: len(usage)}
	if withUsage {
		out.Usage = usage
	}
	return httpx.OK(c, "Realm IDs retrieved successfully", out)
}

func (g *gateway) realmUsage(ctx context.Context, state *sessionstate.State) (map[string]realmUsage, error) {
	var answers [toActivity + 1]internalapi.RealmList
	query := "?user_id=" + state.UserID
	paths := [toActivity + 1]string{toUsers: internalapi.RealmsPath + query, toVault: internalapi.RealmsPath + query,
		toActivity: internalapi.RealmsPath + query}
	if t := state.Token; t != nil && t.Grant.VaultScope != nil && len(t.Grant.VaultScope.Prefixes) > 0 {
		paths[toVault] = internalapi.ReadableRealmsPath + query + "&prefixes=" + strings.Join(t.Grant.VaultScope.Prefixes, ",")
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range []target{toUsers, toVault, toActivity} {
		group.Go(func() error {
			return g.upstreams[t].Ask(ctx, fiber.MethodGet, paths[t], nil, &answers[t])
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	usage := map[string]realmUsage{}
	for t, answer := range answers {
		for _, r := range answer.Realms {
			u := usage[r.RealmID]
			switch target(t) {
			case toVault:
				u.VaultKeys, u.VaultSizeBytes = r.Count, r.SizeBytes
			case toActivity:
				u.ActivityRecords = r.Count
			default:
				u.Tokens = r.Count
			}
			usage[r.RealmID] = u
		}
	}
	return usage, nil
}
