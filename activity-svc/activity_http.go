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
	now          func() time.Time
}

func (h *handlers) mount(app fiber.Router) {
	app.Get("/api/v1/users/auth/activity", of(caller, h.list))
	app.Get("/api/v1/users/auth/activity/stats", of(caller, h.stats))
	app.Get("/api/v1/users/auth/activity/series", of(caller, h.series))
	app.Get("/api/v1/users/auth/activity/export", of(caller, h.export))
	app.Get("/api/v1/users/:id/activity", of(userOfPath, h.list))
	app.Get("/api/v1/users/:id/activity/stats", of(userOfPath, h.stats))
	app.Get("/api/v1/activity/series", of(everyUser, h.series))
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

// subject is a log that a request reads.
type subject struct {
	userID  string // raw; "" for the logs of all users
	mayRead func(realm string) error
	onUser  string // the other user whose log also records the request, if it succeeds; "" for none
}

// of returns a handler that answers about the subject that who returns, if the caller may read it.
func of(who func(*fiber.Ctx) (subject, error), answer func(*fiber.Ctx, subject) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		s, err := who(c)
		if err != nil {
			return err
		}
		err = answer(c, s)
		if err == nil && s.onUser != "" {
			c.Set(internalapi.OnUserHeader, s.onUser)
		}
		return err
	}
}

// caller is the caller's own log, if it may read it: an auth token needs event_access, whatever its
// permissions. The gateway has checked this and the realm already; here they hold also when the
// gateway errs.
func caller(c *fiber.Ctx) (subject, error) {
	i, err := httpx.User(c)
	switch {
	case err != nil:
		return subject{}, err
	case i.Banned:
		return subject{}, apperr.AccountBanned()
	case i.Kind == auth.Token && (i.Grant == nil || !i.Grant.EventAccess):
		return subject{}, apperr.InsufficientPermissions()
	case i.Kind == auth.Token:
		return subject{userID: raw(i.UserID), mayRead: i.Grant.InRealm}, nil
	}
	return subject{userID: raw(i.UserID), mayRead: everyRealm}, nil
}

func everyRealm(string) error { return nil }

// userOfPath is the log of the user whose id is in the path; the caller must be an admin. The
// gateway has found that there is such a user. The request is in that user's log, too.
func userOfPath(c *fiber.Ctx) (subject, error) {
	i, err := httpx.Admin(c)
	if err != nil {
		return subject{}, err
	}
	userID, err := httpx.PathID(c, "id")
	s := subject{userID: raw(userID), mayRead: everyRealm}
	if userID != i.UserID {
		s.onUser = userID
	}
	return s, err
}

// everyUser is the logs of all users; the caller must be an admin.
func everyUser(c *fiber.Ctx) (subject, error) {
	_, err := httpx.Admin(c)
	return subject{mayRead: everyRealm}, err
}

// realmOf returns the raw realm of a request about a log, if the caller may read that.
func (s subject) realmOf(c *fiber.Ctx) (string, error) {
	realm, err := httpx.RealmID(c)
	if err == nil {
		err = s.mayRead(realm)
	}
	return raw(realm), err
}

func (h *handlers) list(c *fiber.Ctx, who subject) error {
	q := httpx.Query(c)
	page, limit := q.Int("page", 1, 1, maxPage), q.Int("limit", defaultLimit, 1, maxLimit)
	f := readFilter(q, who.userID)
	f.search = search.Read(q)
	err := q.Err()
	if err == nil {
		f.realmID, err = who.realmOf(c)
	}
	if err != nil {
		return err
	}
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
	q.RealmID(realm.Parameter) // for its rule only
	return f
}

// within returns the time nearest to t that a log can hold.
func within(t time.Time) time.Time {
	return timerange.Earlier(timerange.Later(t, firstMoment), lastMoment)
}

func (h *handlers) stats(c *fiber.Ctx, who subject) error {
	realm := httpx.Caller(c).Realm
	if err := who.mayRead(realm); err != nil {
		return err
	}
	f := allRecords(who.userID)
	f.realmID = raw(realm) // on the host of a realm, of that realm: a token that is restricted to it sees no other
	q := httpx.Query(c)
	f.search = search.Read(q)
	err := q.Err()
	if err != nil {
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
