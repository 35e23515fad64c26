package vault

import (
	"errors"
	"math"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/vault-svc/internal/precondition"
)

// conditions reads the conditional headers of a request.
func conditions(c *fiber.Ctx) (precondition.Conditions, error) {
	return precondition.Parse(func(name string) []string {
		var lines []string
		for _, line := range c.Request().Header.PeekAll(name) {
			lines = append(lines, string(line))
		}
		return lines
	})
}

// setValidators sets the headers by which a client makes its next request conditional (RFC 9110,
// section 8.8).
func setValidators(c *fiber.Ctx, i Info) {
	c.Set(fiber.HeaderETag, i.ETag)
	c.Set(fiber.HeaderLastModified, i.UpdatedAt.UTC().Format(http.TimeFormat))
}

// validated sets the validators of the current item when err says that a condition failed, and
// returns err.
func validated(c *fiber.Ctx, err error) error {
	if f, ok := errors.AsType[*failedCondition](err); ok && f.current != nil {
		setValidators(c, *f.current)
	}
	return err
}

// recoverable reads whether a deletion moves items to the trash.
func recoverable(c *fiber.Ctx) (bool, error) {
	q := httpx.Query(c)
	return q.Bool("recoverable", false), q.Err()
}

// versionOf reads the version that a read names, 0 for the current one.
func versionOf(c *fiber.Ctx) (int64, error) {
	q := httpx.Query(c)
	if !q.Has("version") {
		return 0, nil
	}
	return int64(q.Int("version", 1, 1, math.MaxInt64)), q.Err()
}

// versionView is one version in the list of versions.
type versionView struct {
	Version   int64    `json:"version"`
	SizeBytes int64    `json:"size_bytes"`
	CreatedAt api.Time `json:"created_at"`
	Current   bool     `json:"current"`
	Deleted   bool     `json:"deleted"`
}

func (h *handler) versions(c *fiber.Ctx) error {
	_, ref, err := h.item(c)
	if err != nil {
		return err
	}
	list, err := h.vault.Versions(c.UserContext(), ref)
	if err != nil {
		return err
	}
	views := make([]versionView, len(list))
	for i, v := range list {
		views[i] = versionView{v.Number, v.Size, api.Time(v.Created), v.Current, v.Deleted}
	}
	return httpx.OK(c, "Vault key versions retrieved successfully", views)
}

// removalView is the answer to a recoverable deletion.
type removalView struct {
	DeletedCount    *int64    `json:"deleted_count,omitempty"`
	RestorableUntil *api.Time `json:"restorable_until,omitempty"`
}
