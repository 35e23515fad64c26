package freetier

import (
	"context"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
)

// Project is a group of containers of an account.
type Project struct {
	ID        string   `json:"id"`
	UserID    string   `json:"user_id"`
	Alias     string   `json:"alias"`
	CreatedAt api.Time `json:"created_at"`
	UpdatedAt api.Time `json:"updated_at"`
}

// Container is a container of an account on its server.
type Container struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Status    string   `json:"status"`
	ProjectID string   `json:"project_id"`
	ServerID  string   `json:"server_id"`
	CreatedAt api.Time `json:"created_at"`
	UpdatedAt api.Time `json:"updated_at"`
}

// pageRequest selects one page of a list; number counts from 1.
type pageRequest struct{ number, limit int }

func (p pageRequest) offset() int { return (p.number - 1) * p.limit }

// project returns a project of the user, or 404 PROJECT_NOT_FOUND, also for another user's project.
func (s *Service) project(ctx context.Context, userID, projectID string) (Project, error) {
	project, found, err := s.store.project(ctx, userID, projectID)
	if err == nil && !found {
		err = apperr.New(apperr.NotFound, "PROJECT_NOT_FOUND", "Project not found")
	}
	return project, err
}

// container returns a container of the user, or 404 CONTAINER_NOT_FOUND, also for another user's.
func (s *Service) container(ctx context.Context, userID, containerID string) (Container, error) {
	container, found, err := s.store.container(ctx, userID, containerID)
	if err == nil && !found {
		err = apperr.New(apperr.NotFound, "CONTAINER_NOT_FOUND", "Container not found")
	}
	return container, err
}
