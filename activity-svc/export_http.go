package activity

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/activity-svc/internal/export"
	"github.com/realmgate/realmgate/activity-svc/internal/search"
	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/httpx"
)

// export answers with the whole log, or what the filters select of it.
func (h *handlers) export(c *fiber.Ctx, who subject) error {
	q := httpx.Query(c)
	format := q.OneOf("format", export.Formats()...)
	if format == "" && !q.Has("format") {
		q.Fail("format", "is required: ndjson or csv")
	}
	f := readFilter(q, who.userID)
	f.search = search.Read(q)
	err := q.Err()
	if err == nil {
		f.realmID, err = who.realmOf(c)
	}
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderContentDisposition, fmt.Sprintf(`attachment; filename="activity-%s.%s"`,
		h.now().UTC().Format("20060102T150405Z"), format))
	return httpx.Stream(c, export.ContentType(format), func(ctx context.Context, w *httpx.StreamWriter) error {
		out := export.New(w, format, recordCells)
		if err := out.Begin(); err != nil {
			return err
		}
		if err := h.store.walk(ctx, f, func(r Record) error { return out.Record(r, r.cells()) }); err != nil {
			return err
		}
		return out.End()
	})
}

// recordCells are the names of the cells of a record.
var recordCells = []string{"id", "user_id", "realm_id", "method", "path", "status_code", "ip_address", "user_agent",
	"created_at", "request_id", "duration_ms", "auth", "auth_id"}

// cells returns the record as cells; null is an empty one.
func (r Record) cells() []string {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	duration := ""
	if r.DurationMS != nil {
		duration = strconv.Itoa(int(*r.DurationMS))
	}
	return []string{r.ID, r.UserID, r.RealmID, r.Method, r.Path, strconv.Itoa(r.StatusCode), r.IPAddress, r.UserAgent,
		time.Time(r.CreatedAt).UTC().Format(api.TimeLayout), text(r.RequestID), duration, text(r.Auth), text(r.AuthID)}
}
