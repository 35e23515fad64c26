package freetier

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

const (
	projectColumns   = `id, user_id, alias, created_at, updated_at`
	containerColumns = `id, name, status, project_id, server_id, created_at, updated_at`
)

func scanProject(row pgx.CollectableRow) (Project, error) {
	var project Project
	err := row.Scan(&project.ID, &project.UserID, &project.Alias, (*time.Time)(&project.CreatedAt),
		(*time.Time)(&project.UpdatedAt))
	return project, err
}

func scanContainer(row pgx.CollectableRow) (Container, error) {
	var container Container
	err := row.Scan(&container.ID, &container.Name, &container.Status, &container.ProjectID, &container.ServerID,
		(*time.Time)(&container.CreatedAt),
		(*time.Time)(&container.UpdatedAt))
	return container, err
}

func (s *store) projects(ctx context.Context, userID string, page pageRequest) ([]Project, int64, error) {
	return listOwned(ctx, s.pool, `SELECT count(*) FROM projects WHERE user_id = $1`,
		`SELECT `+projectColumns+` FROM projects WHERE user_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3`,
		scanProject, userID, page)
}

func (s *store) containers(ctx context.Context, userID string, page pageRequest) ([]Container, int64,
	error) {
	return listOwned(ctx, s.pool, `SELECT count(*) FROM containers WHERE user_id = $1`,
		`SELECT `+containerColumns+` FROM containers WHERE user_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3`,
		scanContainer, userID, page)
}

// listOwned returns one page of a list of the user, read with the statement list and scan, and the
// number of all its rows, read with the statement count.
func listOwned[T any](ctx context.Context, pool *db.Pool, count, list string, scan pgx.RowToFunc[T], userID string,
	page pageRequest) ([]T, int64, error) {
	var total int64
	if err := pool.QueryRow(ctx, count, userID).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := pool.Query(ctx, list, userID, page.limit, page.offset())
	if err != nil {
		return nil, 0, err
	}
	items, err := pgx.CollectRows(rows, scan)
	return items, total, err
}

func (s *store) project(ctx context.Context, userID, projectID string) (Project, bool, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+projectColumns+` FROM projects WHERE user_id = $1 AND id = $2`, userID,
		projectID)
	return core.One(rows, err, scanProject)
}

func (s *store) container(ctx context.Context, userID, containerID string) (Container, bool, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+containerColumns+` FROM containers WHERE user_id = $1 AND id = $2`, userID,
		containerID)
	return core.One(rows, err, scanContainer)
}
