package vault

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
	"github.com/realmgate/realmgate/vault-svc/internal/watch"
)

// handler serves the public API of the vault.
type handler struct {
	vault     *Vault
	hub       *watch.Hub
	memory    *memory.Budget
	quota     int64 // bytes, for users without a quota of their own
	maxBodyMB int64 // VAULT_MAX_BODY_MB
	now       func() time.Time
}

// routes mounts the API. Fiber matches the request target exactly as it was sent, so a dot segment
// or a trailing slash cannot turn one call into another.
func (h *handler) routes(srv *httpx.Server) {
	// The handlers read bodies themselves, after they have reserved memory.
	srv.App.Server().StreamRequestBody = true
	srv.Use(h.limitBody)

	srv.Get("/api/v1/vault/keys", h.list)
	srv.Get("/api/v1/vault/keys/:key", h.get)
	srv.Put("/api/v1/vault/keys/:key", h.put)
	srv.Patch("/api/v1/vault/keys/:key", h.put)
	srv.Delete("/api/v1/vault/keys/:key", h.delete)
	srv.Get("/api/v1/vault/keys/:key/versions", h.versions)
	srv.Post("/api/v1/vault/keys/:key/restore", h.restore)
	srv.Get("/api/v1/vault/trash", h.trash)
	srv.Delete("/api/v1/vault/trash", h.emptyTrash)
	srv.Delete("/api/v1/vault/trash/:key", h.deleteTrashed)
	srv.Post(batchPath, h.batch)
	srv.Get("/api/v1/vault/export", h.export)
	srv.Delete("/api/v1/vault", h.clear)
	srv.Get("/api/v1/vault/stats", h.stats)
	srv.Get("/api/v1/vault/watch", h.watch)
	srv.Get(internalapi.RealmsPath, h.realms)
	srv.Get(internalapi.ReadableRealmsPath, h.realms)
}

// limitBody refuses a body whose Content-Length is too large. Writes of items have a high limit,
// all other calls a low one. The server itself does not limit streamed bodies.
func (h *handler) limitBody(c *fiber.Ctx) error {
	limit := int64(httpx.DefaultBodyLimit)
	if m := c.Method(); (m == fiber.MethodPut || m == fiber.MethodPatch) &&
		strings.HasPrefix(c.Path(), "/api/v1/vault/keys/") || m == fiber.MethodPost && c.Path() == batchPath {
		limit = quota.BodyLimit(h.quotaOf(httpx.Caller(c)), h.maxBodyMB)
	}
	if int64(c.Request().Header.ContentLength()) > limit {
		return apperr.PayloadTooLarge()
	}
	return c.Next()
}

// scope is the part of the vault that a request is about, and the user's quota in bytes.
type scope struct {
	user, realm string
	quota       int64
	keys        auth.VaultScope // of the auth token; the whole realm for a session
}

// requireAllKeys returns 403 for an auth token that is limited to some keys.
func (s scope) requireAllKeys() error {
	if len(s.keys.Prefixes) > 0 {
		return apperr.InsufficientPermissions()
	}
	return nil
}

// scope returns the scope of a request, or an error when the caller may not use it, or may only
// read and the request is not a GET or HEAD.
func (h *handler) scope(c *fiber.Ctx) (scope, error) {
	s, err := h.readScope(c)
	if m := c.Method(); err == nil && s.keys.ReadOnly && m != fiber.MethodGet && m != fiber.MethodHead {
		err = apperr.InsufficientPermissions()
	}
	return s, err
}

// readScope returns the scope of a request that checks by itself whether the caller may write.
func (h *handler) readScope(c *fiber.Ctx) (scope, error) {
	caller, err := httpx.User(c)
	if err != nil {
		return scope{}, err
	}
	realm, err := httpx.RealmID(c)
	if err != nil {
		return scope{}, err
	}
	realm = strings.Clone(realm) // Fiber reuses the query's memory after the handler
	keys, err := authorize(caller, realm)
	return scope{user: caller.UserID, realm: realm, quota: h.quotaOf(caller), keys: keys}, err
}

// quotaOf returns the quota of the caller in bytes.
func (h *handler) quotaOf(caller auth.Identity) int64 {
	return quota.Effective(caller.VaultQuota, h.quota)
}

// item returns the scope of a request about one item, and the item's reference.
func (h *handler) item(c *fiber.Ctx) (scope, sealing.Ref, error) {
	s, err := h.scope(c)
	if err != nil {
		return s, sealing.Ref{}, err
	}
	// A percent-encoded character of a key is the character itself (RFC 3986, section 6.2.2.2).
	// checkKey refuses other decoded characters, such as a slash or a NUL.
	key, err := url.PathUnescape(c.Params("key"))
	if err != nil {
		return s, sealing.Ref{}, apperr.InvalidField("/key", "must be a valid percent-encoding")
	}
	key = strings.Clone(key) // Fiber reuses the path's memory after the handler
	if err = checkKey(key); err == nil && !s.keys.Covers(key) {
		err = apperr.InsufficientPermissions()
	}
	return s, sealing.Ref{User: s.user, Realm: s.realm, Key: key}, err
}

func (h *handler) get(c *fiber.Ctx) error {
	_, ref, err := h.item(c)
	if err != nil {
		return err
	}
	r := Read{Ref: ref}
	if r.Version, err = versionOf(c); err != nil {
		return err
	}
	if r.If, err = conditions(c); err != nil {
		return err
	}
	reserved := h.memory.For(ref.User)
	info, value, err := h.vault.Get(c.UserContext(), r, reserved)
	if err != nil {
		reserved.Release()
		if errors.Is(err, errNotModified) {
			setValidators(c, info)
			c.Status(http.StatusNotModified)
			return nil
		}
		return validated(c, err)
	}
	quoted, err := quote(value)
	if err != nil {
		reserved.Release()
		return err
	}
	reserved.ShrinkTo(int64(cap(quoted))) // the database message and the value are no longer needed
	setValidators(c, info)
	return answerItem(c, http.StatusOK, "Vault key retrieved successfully", info, quoted, reserved)
}

func (h *handler) put(c *fiber.Ctx) error {
	s, ref, err := h.item(c)
	if err != nil {
		return err
	}
	reserved := h.memory.For(s.user)
	if err = h.putHolding(c, s, ref, reserved); err != nil {
		reserved.Release()
	}
	return err
}

func (h *handler) putHolding(c *fiber.Ctx, s scope, ref sealing.Ref, reserved *memory.Reservation) error {
	If, err := conditions(c)
	if err != nil {
		return err
	}
	body, err := readBody(c, reserved, quota.BodyLimit(s.quota, h.maxBodyMB))
	if err != nil {
		return err
	}
	o, err := input.ParseFields(body, "value", "metadata", "expires_at", "ttl")
	if err != nil {
		return err
	}
	httpx.HasRead(c, o)
	w, quoted, err := parseWrite(ref, o, h.now())
	if err != nil {
		return err
	}
	w.If = If
	info, created, err := h.vault.Put(c.UserContext(), w, s.quota)
	if err != nil {
		return validated(c, err)
	}
	setValidators(c, info)
	reserved.ShrinkTo(int64(cap(body))) // the answer points into the body, or takes no more space than it
	if created {
		return answerItem(c, http.StatusCreated, "Vault key created successfully", info, quoted, reserved)
	}
	return answerItem(c, http.StatusOK, "Vault key updated successfully", info, quoted, reserved)
}

// parseWrite reads the fields of a write. quoted is the value as a JSON string, for the answer.
// Both results may point into the body.
func parseWrite(ref sealing.Ref, o *input.Object, now time.Time) (w Write, quoted []byte, err error) {
	w.Ref = ref
	switch raw, ok := o.Raw("value"); {
	case !ok:
		o.Fail("value", "is required")
	case raw.Kind() != jsontext.KindString:
		o.Fail("value", "must be a string")
	case bytes.IndexByte(raw, '\\') < 0: // without escapes the JSON text is the value
		w.Value, quoted = raw[1:len(raw)-1], raw
	default:
		if w.Value, err = jsontext.AppendUnquote(make([]byte, 0, len(raw)), raw); err != nil {
			o.Fail("value", "must be a string of valid Unicode")
		} else if quoted, err = quote(w.Value); err != nil {
			return w, nil, err
		}
	}
	switch {
	case !o.Has("metadata"):
		w.KeepMetadata = true
	case !o.IsNull("metadata"):
		w.Metadata, _ = o.JSONObject("metadata", maxMetadata)
	}
	w.Expiry = parseExpiry(o, now)
	return w, quoted, o.Err()
}

// maxTTL is the longest ttl in seconds, 285 years.
const maxTTL = 9_000_000_000

// parseExpiry reads expires_at and ttl. Without either the expiry is kept.
func parseExpiry(o *input.Object, now time.Time) (e store.Expiry) {
	switch at, ttl := o.Has("expires_at"), o.Has("ttl"); {
	case at && ttl:
		o.Fail("ttl", "must not be given together with expires_at")
	case at && !o.IsNull("expires_at"):
		text, ok := o.Text("expires_at")
		t, valid := input.ParseTime(text)
		switch {
		case !ok:
		case !valid:
			o.Fail("expires_at", "must be an RFC 3339 time or null")
		case !t.After(now):
			o.Fail("expires_at", "must be in the future")
		}
		e.At = &t
	case ttl:
		e.In = parseTTL(o)
	default:
		e.Keep = !at
	}
	return e
}

// parseTTL reads ttl: whole seconds, or a Go duration.
func parseTTL(o *input.Object) time.Duration {
	if raw, _ := o.Raw("ttl"); raw.Kind() != jsontext.KindString {
		n, _ := o.Int("ttl", 1, maxTTL)
		return time.Duration(n) * time.Second
	}
	text, _ := o.Text("ttl")
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > maxTTL*time.Second {
		o.Fail("ttl", fmt.Sprintf(`must be a duration such as "90s" or "24h", from 1s to %ds`, maxTTL))
	}
	return d
}

func (h *handler) delete(c *fiber.Ctx) error {
	s, ref, err := h.item(c)
	if err != nil {
		return err
	}
	d := Deletion{Ref: ref}
	if d.Recoverable, err = recoverable(c); err != nil {
		return err
	}
	if d.If, err = conditions(c); err != nil {
		return err
	}
	until, err := h.vault.Delete(c.UserContext(), d, s.quota)
	switch {
	case err != nil:
		return validated(c, err)
	case d.Recoverable:
		return httpx.OK(c, "Vault key moved to the trash", removalView{RestorableUntil: api.TimePtr(until)})
	}
	return httpx.OK(c, "Vault key deleted successfully", nil)
}

func (h *handler) clear(c *fiber.Ctx) error {
	s, err := h.scope(c)
	if err != nil {
		return err
	}
	if err := s.requireAllKeys(); err != nil {
		return err
	}
	d := Deletion{Ref: sealing.Ref{User: s.user, Realm: s.realm}}
	if d.Recoverable, err = recoverable(c); err != nil {
		return err
	}
	n, until, err := h.vault.Clear(c.UserContext(), d, s.quota)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Vault cleared successfully", removalView{DeletedCount: &n, RestorableUntil: api.TimePtr(until)})
}

func (h *handler) stats(c *fiber.Ctx) error {
	s, err := h.scope(c)
	if err != nil {
		return err
	}
	stats, err := h.vault.Stats(c.UserContext(), s)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Vault statistics retrieved successfully", stats)
}

// realms lists the realms in which a user has keys, or keys with certain prefixes. Only the gateway
// calls it.
func (h *handler) realms(c *fiber.Ctx) error {
	user, err := httpx.SystemUserID(c)
	if err != nil {
		return err
	}
	var part auth.VaultScope
	if prefixes := c.Query("prefixes"); prefixes != "" {
		part.Prefixes = auth.NormalPrefixes(strings.Split(strings.Clone(prefixes), ","))
	}
	realms, err := h.vault.Realms(c.UserContext(), user, part)
	if err != nil {
		return err
	}
	return httpx.JSON(c, http.StatusOK, internalapi.RealmList{Realms: realms})
}
