package activity

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/activity-svc/internal/series"
	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/httpx"
)

// series answers with a chart of a log.
func (h *handlers) series(c *fiber.Ctx, who subject) error {
	q := httpx.Query(c)
	f := readFilter(q, who.userID)
	dates := timerange.Range{From: f.from, To: f.to}
	if !q.Has("start_date") {
		dates.From = time.Time{}
	}
	if !q.Has("end_date") {
		dates.To = time.Time{}
	}
	out := series.Read(q, dates, h.now())
	err := q.Err()
	if err == nil {
		f.realmID, err = who.realmOf(c)
	}
	if err == nil {
		err = h.store.fillSeries(c.UserContext(), f, out)
	}
	if err != nil {
		return err
	}
	return httpx.OK(c, "Activity series retrieved successfully", out.Points)
}
