package vault

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
)

func (h *handler) list(c *fiber.Ctx) error {
	s, err := h.scope(c)
	if err != nil {
		return err
	}
	page, err := readPage(c, s)
	if err != nil {
		return err
	}
	reserved := h.memory.For(s.user)
	body := appendEnvelope(nil, http.StatusOK, "Vault keys retrieved successfully")
	body = append(body, '[')
	empty := len(body)
	err = h.vault.List(c.UserContext(), page, func(i Info) error {
		if len(body) > empty {
			body = append(body, ',')
		}
		body = appendItem(body, i, nil)
		if len(body) < smallBody {
			return nil
		}
		// This call holds a database connection that others need, so it must not wait for memory.
		return reserved.TryGrow(memoryCopies * int64(cap(body)))
	})
	if err != nil {
		reserved.Release()
		return err
	}
	body = append(body, ']')
	if page.Limit > 0 {
		body = appendPage(body, page)
	}
	body = append(body, '}')
	reserved.ShrinkTo(int64(cap(body)))
	return answer(c, http.StatusOK, reserved, body)
}

// readPage reads which keys of the scope a list asks for. A cursor without a limit is an error.
func readPage(c *fiber.Ctx, s scope) (*Page, error) {
	q := httpx.Query(c)
	p := &Page{User: s.user, Realm: s.realm, Prefix: strings.Clone(c.Query("prefix"))}
	p.Limit = q.Int("limit", 0, 1, maxPage)
	p.Cursor = q.Text("cursor", maxCursor)
	if q.Err() == nil && p.Cursor != "" && p.Limit == 0 {
		q.Fail("cursor", "needs limit")
	}
	p.ranges = keyrange.Of(s.keys, p.Prefix)
	return p, q.Err()
}
