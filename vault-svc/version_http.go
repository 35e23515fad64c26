package vault

import (
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/vault-svc/internal/precondition"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
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

func (h *handler) restore(c *fiber.Ctx) error {
	s, ref, err := h.item(c)
	if err != nil {
		return err
	}
	r := Restoration{Ref: ref}
	if r.If, err = conditions(c); err != nil {
		return err
	}
	reserved := h.memory.For(s.user)
	body, err := readBody(c, reserved, httpx.DefaultBodyLimit)
	if err != nil {
		reserved.Release()
		return err
	}
	o, err := input.ParseObject(body)
	if err != nil {
		return err
	}
	httpx.HasRead(c, o)
	r.Version, _ = o.Int("version", 1, math.MaxInt64)
	if err := o.Err(); err != nil {
		return err
	}
	info, value, err := h.vault.Restore(c.UserContext(), r, s.quota, reserved)
	if err != nil {
		reserved.Release()
		return validated(c, err)
	}
	quoted, err := quote(value)
	if err != nil {
		reserved.Release()
		return err
	}
	reserved.ShrinkTo(int64(cap(quoted)))
	setValidators(c, info)
	return answerItem(c, http.StatusOK, "Vault key restored successfully", info, quoted, reserved)
}

// appendTrashed appends a key in the trash as JSON.
func appendTrashed(b []byte, realm string, e store.TrashEntry) []byte {
	b = append(append(append(b, `{"key":"`...), e.Key...), `","realm_id":"`...)
	b = strconv.AppendInt(append(append(b, realm...), `","version":`...), e.Number, 10)
	b = strconv.AppendInt(append(b, `,"size_bytes":`...), e.Size, 10)
	b = e.Deleted.UTC().AppendFormat(append(b, `,"deleted_at":"`...), api.TimeLayout)
	b = e.Restorable.UTC().AppendFormat(append(b, `","restorable_until":"`...), api.TimeLayout)
	return append(b, `"}`...)
}

func (h *handler) trash(c *fiber.Ctx) error {
	s, err := h.scope(c)
	if err != nil {
		return err
	}
	reserved := h.memory.For(s.user)
	body := append(appendEnvelope(nil, http.StatusOK, "Vault trash retrieved successfully"), '[')
	empty := len(body)
	err = h.vault.Trash(c.UserContext(), s, func(e store.TrashEntry) error {
		if len(body) > empty {
			body = append(body, ',')
		}
		if body = appendTrashed(body, s.realm, e); len(body) < smallBody {
			return nil
		}
		return reserved.TryGrow(memoryCopies * int64(cap(body))) // this call holds a database connection
	})
	if err != nil {
		reserved.Release()
		return err
	}
	body = append(body, "]}"...)
	reserved.ShrinkTo(int64(cap(body)))
	return answer(c, http.StatusOK, reserved, body)
}

func (h *handler) emptyTrash(c *fiber.Ctx) error {
	s, err := h.scope(c)
	if err == nil {
		err = s.requireAllKeys()
	}
	if err != nil {
		return err
	}
	n, err := h.vault.EmptyTrash(c.UserContext(), s.user, s.realm)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Vault trash emptied successfully", removalView{DeletedCount: &n})
}

func (h *handler) deleteTrashed(c *fiber.Ctx) error {
	_, ref, err := h.item(c)
	if err != nil {
		return err
	}
	if err := h.vault.DeleteTrashed(c.UserContext(), ref); err != nil {
		return err
	}
	return httpx.OK(c, "Vault key removed from the trash", nil)
}
