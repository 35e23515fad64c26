package activity

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/activity-svc/internal/search"
	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/realm"
)

// Bounds of the query, from the contract's section 5.
const (
	maxPage      = 10001
	defaultLimit = 50
	maxLimit     = 100
	minStatus    = 100
	maxStatus    = 599
	errorStatus  = 400
)

// handlers serve the log.
type handlers struct {
	store        *store
	retention    Retention
	installation string
}

func (h *handlers) mount(app fiber.Router) {
	app.Get("/api/v1/users/auth/activity", h.list)
	app.Get("/api/v1/users/auth/activity/stats", h.stats)
	app.Get(internalapi.RealmsPath, h.realms)
	app.Get(internalapi.InstallationPath, h.serveInstallation)
}

// serveInstallation tells a gateway the stream of its events.
func (h *handlers) serveInstallation(c *fiber.Ctx) error {
	if err := httpx.RequireSystem(c); err != nil {
		return err
	}
	httpx.Unlogged(c) // each gateway asks every few seconds
	return httpx.JSON(c, http.StatusOK, event.Installation{ID: h.installation})
}

// reader returns the caller if it may read its log: an auth token needs event_access, whatever its
// permissions. The gateway has checked this and inRealm already; here they hold also when the
// gateway errs.
func reader(c *fiber.Ctx) (auth.Identity, error) {
	caller, err := httpx.User(c)
	switch {
	case err != nil:
		return caller, err
	case caller.Banned:
		return caller, apperr.AccountBanned()
	case caller.Kind == auth.Token && (caller.Grant == nil || !caller.Grant.EventAccess):
		return caller, apperr.InsufficientPermissions()
	}
	return caller, nil
}

// inRealm returns an error for an auth token that is not valid in the realm.
func inRealm(caller auth.Identity, realm string) error {
	if caller.Kind != auth.Token {
		return nil
	}
	return caller.Grant.InRealm(realm)
}

func (h *handlers) list(c *fiber.Ctx) error {
	caller, err := reader(c)
	if err != nil {
		return err
	}
	q := httpx.Query(c)
	page, limit := q.Int("page", 1, 1, maxPage), q.Int("limit", defaultLimit, 1, maxLimit)
	f := readFilter(q, raw(caller.UserID))
	if err := q.Err(); err != nil {
		return err
	}
	realm, err := httpx.RealmID(c)
	if err == nil {
		err = inRealm(caller, realm)
	}
	if err != nil {
		return err
	}
	f.realmID = raw(realm)
	var records []Record
	var total int64
	var capped *bool
	if offset := int64(page-1) * int64(limit); f.search.Empty() {
		records, total, err = h.store.list(c.UserContext(), f, offset, int64(limit))
	} else {
		capped = new(bool)
		records, total, *capped, err = h.store.searchPage(c.UserContext(), f, offset, int64(limit))
	}
	if err != nil {
		return err
	}
	metadata := api.NewPage(total, page, limit)
	metadata.Pages, metadata.TotalCapped = min(metadata.Pages, maxPage), capped
	return httpx.Paged(c, "Activity logs retrieved successfully", records, metadata)
}

// readFilter reads the filter but its realm, which may come from the host, and records in q which
// parameters are invalid.
func readFilter(q *input.Query, userID string) filter {
	f := allRecords(userID)
	// Records carry milliseconds: an instant between two of them moves to the later one as a start
	// and to the earlier one as an inclusive end.
	start, end := q.Time("start_date", input.StartOfDay), q.Time("end_date", input.EndOfDay)
	if !start.IsZero() {
		f.from = within(start.Add(time.Millisecond - 1).Truncate(time.Millisecond))
	}
	if !end.IsZero() {
		f.to = within(end.Truncate(time.Millisecond).Add(time.Millisecond))
		if end.Before(start) {
			q.Fail("end_date", "must not be before start_date")
		}
	}
	f.minStatus = q.Int("min_status", minStatus, minStatus, maxStatus)
	f.maxStatus = q.Int("max_status", maxStatus, minStatus, maxStatus)
	if f.minStatus > f.maxStatus {
		q.Fail("min_status", "must not be above max_status")
	}
	if q.Bool("errors_only", false) {
		f.minStatus = max(f.minStatus, errorStatus)
	}
	f.method = q.OneOf("method", http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete)
	f.search = search.Read(q)
	q.RealmID(realm.Parameter) // for its rule only
	return f
}

// within returns the time nearest to t that a log can hold.
func within(t time.Time) time.Time {
	return timerange.Earlier(timerange.Later(t, firstMoment), lastMoment)
}

func (h *handlers) stats(c *fiber.Ctx) error {
	caller, err := reader(c)
	if err != nil {
		return err
	}
	if err := inRealm(caller, caller.Realm); err != nil {
		return err
	}
	f := allRecords(raw(caller.UserID))
	f.realmID = raw(caller.Realm) // on the host of a realm, of that realm: a token that is restricted to it sees no other
	q := httpx.Query(c)
	f.search = search.Read(q)
	if err := q.Err(); err != nil {
		return err
	}
	var out Stats
	if f.search.Empty() {
		out, err = h.store.stats(c.UserContext(), f)
	} else {
		out, err = h.store.searchStats(c.UserContext(), f)
	}
	if err != nil {
		return err
	}
	out.RetentionDays = int(h.retention)
	return httpx.OK(c, "Activity stats retrieved successfully", out)
}

func (h *handlers) realms(c *fiber.Ctx) error {
	user, err := httpx.SystemUserID(c)
	if err != nil {
		return err
	}
	realms, err := h.store.realms(c.UserContext(), raw(user))
	if err != nil {
		return err
	}
	return httpx.JSON(c, http.StatusOK, internalapi.RealmList{Realms: realms})
}
