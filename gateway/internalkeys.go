package gateway

import (
	"fmt"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/config"
)

// internalKeys returns the keys of each service. A key that two services have is an error, because
// either could sign for the other with it; those of the deprecated common list are accepted for one
// release.
func (c Config) internalKeys(now func() time.Time) (map[target]*auth.InternalKeys, error) {
	shared := c.SharedKeys.Reveal()
	if shared != "" {
		if _, err := auth.NewInternalKeys(shared, now); err != nil {
			return nil, fmt.Errorf("%s: %w", auth.SharedKeysSetting, err)
		}
	}
	type own struct {
		name string
		keys *auth.InternalKeys
	}
	var before []own
	var problems config.Problems
	all := map[target]*auth.InternalKeys{}
	for _, s := range []struct {
		to   target
		name string
		list config.Secret
	}{
		{toUsers, "USERS_INTERNAL_KEYS", c.Upstreams.UsersKeys},
		{toVault, "VAULT_INTERNAL_KEYS", c.Upstreams.VaultKeys},
		{toActivity, "ACTIVITY_INTERNAL_KEYS", c.Upstreams.ActivityKeys},
	} {
		keys, err := auth.ReadInternalKeys(s.name, s.list.Reveal(), shared, now)
		problems.Must(err == nil, "%w", err)
		if all[s.to] = keys; err != nil || s.list == "" {
			continue
		}
		this, _ := auth.NewInternalKeys(s.list.Reveal(), now)
		for _, other := range before {
			problems.Must(!this.Shares(other.keys), "%s has a key of %s: each service needs its own", s.name, other.name)
		}
		before = append(before, own{s.name, this})
	}
	return all, problems.Err()
}
