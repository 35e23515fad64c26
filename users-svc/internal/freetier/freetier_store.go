package freetier

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// store reads and writes servers, claims, projects and containers.
type store struct{ pool *db.Pool }

const selectProvisioned = `
	SELECT s.id, s.name, s.country, s.region, s.city, p.id, p.alias, c.id, c.name
	FROM server_claims a
	JOIN servers s ON s.id = a.server_id
	JOIN projects p ON p.user_id = a.user_id AND p.is_default
	JOIN containers c ON c.user_id = a.user_id AND c.is_default
	WHERE a.user_id = $1`

func (s *store) provisioned(ctx context.Context, userID string) (Provisioned, error) {
	return provisionedOf(ctx, s.pool, userID)
}

// provisionedOf returns the resources of an account, all nil when it has no place.
func provisionedOf(ctx context.Context, q core.DBTX, userID string) (Provisioned, error) {
	rows, err := q.Query(ctx, selectProvisioned, userID)
	if err != nil {
		return Provisioned{}, err
	}
	provisioned, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (Provisioned, error) {
		p := Provisioned{
			Server: &ServerSummary{IsReady: true}, Project: &ProjectSummary{}, Container: &ContainerSummary{},
		}
		return p, row.Scan(&p.Server.ID, &p.Server.Name, &p.Server.Country, &p.Server.Region, &p.Server.City,
			&p.Project.ID, &p.Project.Alias, &p.Container.ID, &p.Container.Name)
	})
	if db.IsNoRows(err) {
		return Provisioned{}, nil
	}
	return provisioned, err
}

// claim takes one place on a server, creates the default project and container in the same
// transaction, and returns them. It locks the user's row first, so that concurrent calls for one
// account run one after the other, and all but the first find the claim. The result is empty when
// no server has a free place.
func (s *store) claim(ctx context.Context, userID, region string, now time.Time) (Provisioned, error) {
	if existing, err := s.provisioned(ctx, userID); err != nil || existing.Server != nil {
		return existing, err
	}
	var provisioned Provisioned
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var claimed bool
		if err := tx.QueryRow(ctx, `SELECT true FROM users WHERE id = $1 FOR NO KEY UPDATE`,
			userID).Scan(&claimed); err != nil {
			return err
		}
		// This needs its own statement: the one that waited for the lock has a snapshot from
		// before.
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM server_claims WHERE user_id = $1)`,
			userID).Scan(&claimed); err != nil {
			return err
		}
		if !claimed {
			if ok, err := claimSlot(ctx, tx, userID, region, now); err != nil || !ok {
				return err
			}
		}
		var err error
		provisioned, err = provisionedOf(ctx, tx, userID)
		return err
	})
	return provisioned, err
}

// claimSlot takes a place on the first server, by id, that still has room when its row is locked,
// and creates the project and container there; false when all servers are full. All callers lock
// servers in the same order, so that they cannot deadlock, and no server gets more accounts than
// its capacity.
func claimSlot(ctx context.Context, tx pgx.Tx, userID, region string, now time.Time) (bool, error) {
	var serverID string
	err := tx.QueryRow(ctx, `
		UPDATE servers SET claimed = claimed + 1, updated_at = $2
		WHERE id = (SELECT id FROM servers WHERE claimed < capacity AND ($1 = '' OR region = $1)
			ORDER BY id LIMIT 1 FOR UPDATE)
		RETURNING id`, region, now).Scan(&serverID)
	if db.IsNoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO server_claims (user_id, server_id, claimed_at) VALUES ($1, $2, $3)`, userID,
		serverID, now); err != nil {
		return false, err
	}
	projectID := id.New(now)
	if _, err := tx.Exec(ctx, `INSERT INTO projects (id, user_id, alias, is_default, created_at, updated_at)
		VALUES ($1, $2, $3, true, $4, $4)`,
		projectID, userID, defaultProjectAlias, now); err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO containers (id, user_id, project_id, server_id, name, status, is_default, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, true, $7, $7)`,
		id.New(now), userID, projectID, serverID, defaultContainerName, containerCreated, now)
	return err == nil, err
}

func (s *store) claimState(ctx context.Context, userID string) (claimState, error) {
	var state claimState
	err := s.pool.QueryRow(ctx, `
		SELECT invited, signup_code_failed, is_admin, EXISTS (SELECT FROM server_claims WHERE user_id = users.id)
		FROM users WHERE id = $1`, userID).
		Scan(&state.invited, &state.codeFailed, &state.admin, &state.claimed)
	if db.IsNoRows(err) {
		err = core.UserNotFound()
	}
	return state, err
}

func (s *store) hasRegion(ctx context.Context, region string) (bool, error) {
	var known bool
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM servers WHERE region = $1)`, region).Scan(&known)
	return known, err
}

func (s *store) hasFreeServer(ctx context.Context) (bool, error) {
	var free bool
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM servers WHERE claimed < capacity)`).Scan(&free)
	return free, err
}

// regions returns each region once, with the country and city of its oldest server.
func (s *store) regions(ctx context.Context) ([]Region, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT region, (array_agg(country ORDER BY id))[1], (array_agg(city ORDER BY id))[1],
			bool_or(claimed < capacity)
		FROM servers GROUP BY region ORDER BY region COLLATE "C"`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Region])
}

const serverColumns = `id, name, region, country, city, capacity, claimed, created_at, updated_at`

func (s *store) servers(ctx context.Context) ([]Server, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+serverColumns+` FROM servers ORDER BY name COLLATE "C"`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanServer)
}

func scanServer(row pgx.CollectableRow) (Server, error) {
	var server Server
	err := row.Scan(&server.ID, &server.Name, &server.Region, &server.Country, &server.City, &server.Capacity,
		&server.Used, (*time.Time)(&server.CreatedAt),
		(*time.Time)(&server.UpdatedAt))
	return server, err
}

// addServer stores a server. It returns 409 SERVER_EXISTS when the name is taken.
func (s *store) addServer(ctx context.Context, spec serverSpec, now time.Time) (Server, error) {
	rows, err := s.pool.Query(ctx, `
		INSERT INTO servers (id, name, region, country, city, capacity, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
		RETURNING `+serverColumns, id.New(now), spec.name, spec.region, spec.country, spec.city, spec.capacity, now)
	if err != nil {
		return Server{}, err
	}
	server, err := pgx.CollectExactlyOneRow(rows, scanServer)
	if db.Constraint(err) == "servers_name_key" {
		err = apperr.New(apperr.Conflict, "SERVER_EXISTS", "A server with this name already exists")
	}
	return server, err
}

// seed adds the servers of the inventory that are missing and sets the capacity of the others,
// though never below the claimed places. It removes no server, because accounts may be on it.
// Several processes may run it at once.
func (s *store) seed(ctx context.Context, inv Inventory, now time.Time) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		for _, spec := range inv {
			if _, err := tx.Exec(ctx, `
				INSERT INTO servers AS s (id, name, region, country, city, capacity, created_at, updated_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
				ON CONFLICT (name) DO UPDATE
				SET capacity = GREATEST(EXCLUDED.capacity, s.claimed), updated_at = EXCLUDED.updated_at
				WHERE s.capacity <> GREATEST(EXCLUDED.capacity, s.claimed)`,
				id.New(now), spec.name, spec.region, spec.country, spec.city, spec.capacity, now); err != nil {
				return err
			}
		}
		return nil
	})
}
