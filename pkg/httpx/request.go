package httpx

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/maypok86/otter/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/realm"
)

type localKey uint8

const keyKnown localKey = 0

// known is what has been found out about a request: one local, because each costs an allocation and
// a search.
type known struct {
	requestID string
	unlogged  bool   // unless it fails
	route     string // template; "" until a server that does not route through Fiber says it
	caller    auth.Identity
	body      *input.Object // nil until the handler has read it
	client    netip.Addr    // in the gateway; services have it from the identity
}

// knownOf returns what is known about the request, to be read and written until it has been
// answered.
func knownOf(c *fiber.Ctx) *known {
	k, ok := c.Locals(keyKnown).(*known)
	if !ok {
		k = &known{}
		c.Locals(keyKnown, k)
	}
	return k
}

// maxRequestID bounds a request id that a client brings along.
const maxRequestID = 128

// ensureRequestID keeps a sane X-Request-ID of the caller, or makes one, and puts it on the answer.
func (s *Server) ensureRequestID(c *fiber.Ctx) {
	k := knownOf(c)
	if k.requestID != "" {
		return
	}
	if given := c.Get(fiber.HeaderXRequestID); saneRequestID(given) {
		k.requestID = utils.CopyString(given) // Fiber reuses the header's memory after the handler
	} else {
		k.requestID = id.New(time.Now())
	}
	c.Set(fiber.HeaderXRequestID, k.requestID)
}

func saneRequestID(s string) bool {
	if s == "" || len(s) > maxRequestID {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_' || r == '.')
	}) < 0
}

// Unlogged leaves the line of this request out of the log unless it fails, for what is asked again
// and again.
func Unlogged(c *fiber.Ctx) { knownOf(c).unlogged = true }

// RequestID returns the id of the request; it may be kept.
func RequestID(c *fiber.Ctx) string {
	return knownOf(c).requestID
}

// identify verifies the gateway's signature before any handler runs.
func (s *Server) identify(c *fiber.Ctx) error {
	if s.o.Identities == nil {
		return c.Next()
	}
	header := c.Get(auth.IdentityHeader)
	if header == "" {
		c.Set(auth.RefusedHeader, "missing")
		return apperr.MissingToken()
	}
	identity, ok := s.verified.GetIfPresent(header)
	if !ok {
		var err error
		if identity, err = s.o.Identities.Verify(header, s.o.Name); err != nil {
			c.Set(auth.RefusedHeader, "invalid")
			return apperr.Wrap(err, apperr.Unauthenticated, "INVALID_TOKEN", "Invalid authentication token")
		}
		s.verified.Set(utils.CopyString(header), identity)
	}
	knownOf(c).caller = identity
	return c.Next()
}

// The gateway signs an identity once and uses it for some seconds, so a service sees the same
// header again and again: it remembers what it has verified. identityMemory is far below the time
// that a signature is good for.
const (
	identityMemory   = 5 * time.Second
	identitiesInMind = 10_000
)

func newVerified() *otter.Cache[string, auth.Identity] {
	return otter.Must(&otter.Options[string, auth.Identity]{
		MaximumSize: identitiesInMind, ExpiryCalculator: otter.ExpiryWriting[string, auth.Identity](identityMemory),
	})
}

// Caller returns who is calling, Anonymous included.
func Caller(c *fiber.Ctx) auth.Identity {
	return knownOf(c).caller
}

// User returns the caller, who must be a user: 401 MISSING_TOKEN otherwise.
func User(c *fiber.Ctx) (auth.Identity, error) {
	i := Caller(c)
	if !i.IsUser() {
		return i, apperr.MissingToken()
	}
	return i, nil
}

// Admin returns the caller, who must be an admin: 403 INSUFFICIENT_PERMISSIONS otherwise.
func Admin(c *fiber.Ctx) (auth.Identity, error) {
	i, err := User(c)
	if err == nil && (!i.Admin || i.Kind != auth.Session) {
		err = apperr.InsufficientPermissions()
	}
	return i, err
}

// RequireSystem returns 401 unless the gateway itself is calling; for internal routes.
func RequireSystem(c *fiber.Ctx) error {
	if Caller(c).Kind != auth.System {
		return apperr.InvalidToken()
	}
	return nil
}

// SystemUserID returns the user that an internal request names in ?user_id=: 401 unless the gateway
// itself is calling, 400 VALIDATION_ERROR unless it is an id.
func SystemUserID(c *fiber.Ctx) (string, error) {
	if err := RequireSystem(c); err != nil {
		return "", err
	}
	q := Query(c)
	userID := q.Text("user_id", id.Len)
	if q.Err() == nil && !id.Valid(userID) {
		q.Fail("user_id", "must be 24 lower-case hexadecimal characters")
	}
	return userID, q.Err()
}

// PathID returns the path parameter name, which must be an id: 400 INVALID_ID_FORMAT otherwise. It
// may be kept.
func PathID(c *fiber.Ctx, name string) (string, error) {
	s := utils.CopyString(c.Params(name))
	if !id.Valid(s) {
		return "", apperr.InvalidID()
	}
	return s, nil
}

// SetCaller says who is calling, in the gateway, which finds out itself; the log line names the
// user.
func SetCaller(c *fiber.Ctx, i auth.Identity) { knownOf(c).caller = i }

// SetClientAddr says from which address the request came, in the gateway, which finds out itself.
func SetClientAddr(c *fiber.Ctx, addr netip.Addr) { knownOf(c).client = addr }

// clientAddr returns the address of the client that sent the request to the gateway, "" when it is
// not known.
func clientAddr(c *fiber.Ctx) string {
	if k := knownOf(c); k.client.IsValid() {
		return k.client.String()
	}
	return Caller(c).ClientAddr
}

// Query reads the query string; its strings may be kept.
func Query(c *fiber.Ctx) *input.Query {
	args := c.Context().QueryArgs()
	return input.NewQuery(func(name string) []string {
		var values []string
		for _, v := range args.PeekMulti(name) {
			values = append(values, string(v))
		}
		return values
	})
}

// RealmID returns the realm that a request is about: ?realm_id= or the host's realm; "" when
// neither is there. Two different ones are an error.
func RealmID(c *fiber.Ctx) (string, error) {
	q := Query(c)
	asked := q.RealmID(realm.Parameter)
	if err := q.Err(); err != nil {
		return "", err
	}
	return realm.Resolve(asked, Caller(c).Realm)
}

// timeout gives the handler a context that ends with the request's time.
func (s *Server) timeout(c *fiber.Ctx) context.CancelFunc {
	if s.o.RequestTimeout < 0 {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), s.o.RequestTimeout)
	c.SetUserContext(ctx)
	return cancel
}
