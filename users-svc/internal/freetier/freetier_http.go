package freetier

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount adds the routes of the domain to the server.
func (s *Service) Mount(server *httpx.Server) {
	server.Get("/api/v1/auth/available-regions", s.getRegions)
	server.Post("/api/v1/users/me/retry-setup", s.postRetrySetup)
	server.Get("/api/v1/users/me/free-tier-status", s.getFreeTierStatus)
	for _, path := range []string{"/api/v1/containers", "/api/v1/containers/"} {
		server.Get(path, s.getContainers)
	}
	server.Get("/api/v1/containers/:id", s.getContainer)
	for _, path := range []string{"/api/v1/projects", "/api/v1/projects/"} {
		server.Get(path, s.getProjects)
	}
	server.Get("/api/v1/projects/:id", s.getProject)
	server.Get("/api/v1/servers", s.getServers)
	server.Post("/api/v1/servers", s.postServer)
}

func (s *Service) getRegions(c *fiber.Ctx) error {
	regions, err := s.store.regions(c.UserContext())
	if err != nil {
		return err
	}
	return httpx.OK(c, "Available regions retrieved successfully", struct {
		Regions []Region `json:"regions"`
	}{regions})
}

func (s *Service) postRetrySetup(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermContainersCreate)
	if err != nil {
		return err
	}
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	region, _ := field.Region(body)
	if err := body.Err(); err != nil {
		return err
	}
	setup, err := s.setup(c.UserContext(), caller.UserID, region)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Account setup completed", setup)
}

func (s *Service) getFreeTierStatus(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermReadAccount)
	if err != nil {
		return err
	}
	status, err := s.status(c.UserContext(), caller.UserID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Free-tier status retrieved", status)
}

// ownPageQuery reads the query parameters "page" and "limit".
func ownPageQuery(c *fiber.Ctx) (pageRequest, error) {
	q := httpx.Query(c)
	number, limit := field.PageLimit(q)
	return pageRequest{number, limit}, q.Err()
}

func (s *Service) getProjects(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermProjectsRead)
	if err != nil {
		return err
	}
	page, err := ownPageQuery(c)
	if err != nil {
		return err
	}
	list, total, err := s.store.projects(c.UserContext(), caller.UserID, page)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Projects retrieved successfully", struct {
		Projects   []Project `json:"projects"`
		Pagination api.Page  `json:"pagination"`
	}{list, api.NewPage(total, page.number, page.limit)})
}

func (s *Service) getContainers(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermContainersRead)
	if err != nil {
		return err
	}
	page, err := ownPageQuery(c)
	if err != nil {
		return err
	}
	list, total, err := s.store.containers(c.UserContext(), caller.UserID, page)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Containers retrieved successfully", struct {
		Containers []Container `json:"containers"`
		Pagination api.Page    `json:"pagination"`
	}{list, api.NewPage(total, page.number, page.limit)})
}

func (s *Service) getProject(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermProjectsRead)
	if err != nil {
		return err
	}
	projectID, err := httpx.PathID(c, "id")
	if err != nil {
		return err
	}
	project, err := s.project(c.UserContext(), caller.UserID, projectID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Project retrieved successfully", project)
}

func (s *Service) getContainer(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermContainersRead)
	if err != nil {
		return err
	}
	containerID, err := httpx.PathID(c, "id")
	if err != nil {
		return err
	}
	container, err := s.container(c.UserContext(), caller.UserID, containerID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Container retrieved successfully", container)
}

func (s *Service) getServers(c *fiber.Ctx) error {
	if _, err := httpx.Admin(c); err != nil {
		return err
	}
	servers, err := s.store.servers(c.UserContext())
	if err != nil {
		return err
	}
	return httpx.OK(c, "Servers retrieved successfully", servers)
}

func (s *Service) postServer(c *fiber.Ctx) error {
	if _, err := httpx.Admin(c); err != nil {
		return err
	}
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	spec, err := readServer(body)
	if err != nil {
		return err
	}
	server, err := s.store.addServer(c.UserContext(), spec, s.now())
	if err != nil {
		return err
	}
	return httpx.Created(c, "Server created successfully", server)
}

func readServer(body *input.Object) (serverSpec, error) {
	for _, name := range []string{"name", "region", "country", "city", "capacity"} {
		field.Require(body, name)
	}
	var spec serverSpec
	spec.name, _ = body.String("name", 1, 100)
	spec.region, _ = field.Region(body)
	spec.country, _ = body.String("country", 1, 100)
	spec.city, _ = body.String("city", 1, 100)
	capacity, _ := body.Int("capacity", 1, maxCapacity)
	spec.capacity = int(capacity)
	return spec, body.Err()
}
