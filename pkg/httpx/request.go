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

// known holds the facts about a request that this package keeps. They are one local of Fiber,
// because each local costs an allocation and a search.
type known struct {
	requestID string
	unlogged  bool   // not logged unless it fails
	route     string // template; "" until SetRoute
	caller    auth.Identity
	body      *input.Object // nil until the handler has read it
	client    netip.Addr    // set in the gateway; services take it from the identity
	stream    *stream       // nil unless the answer is streamed
}

// knownOf returns the facts about the request, which may be read and written until it has been
// answered.
func knownOf(c *fiber.Ctx) *known {
	k, ok := c.Locals(keyKnown).(*known)
	if !ok {
		k = &known{}
		c.Locals(keyKnown, k)
	}
	return k
}

// maxRequestID bounds the request id that a client may send.
const maxRequestID = 128

// ensureRequestID keeps the caller's X-Request-ID if it is sane, else makes one, and sets it on the
// answer.
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
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_' ||
			r == '.')
	}) < 0
}

// Unlogged leaves the line of this request out of the log unless it fails. It is for routes that
// are polled.
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
		if len(header) <= maxVerifiedHeader {
			s.verified.Set(utils.CopyString(header), identity)
		}
	}
	knownOf(c).caller = identity
	return c.Next()
}

// The gateway signs an identity once and uses it for some seconds, so a service receives the same
// header many times and caches the verified identities. verifiedTTL is far below the time for which
// a signature is valid.
const (
	verifiedTTL = 5 * time.Second
	maxVerified = 10_000
	// maxVerifiedHeader bounds the memory of the cache. Only auth tokens with many realms or vault
	// prefixes have longer headers, which are verified each time.
	maxVerifiedHeader = 4 << 10
)

func newVerified() *otter.Cache[string, auth.Identity] {
	return otter.Must(&otter.Options[string, auth.Identity]{
		MaximumSize: maxVerified, ExpiryCalculator: otter.ExpiryWriting[string, auth.Identity](verifiedTTL),
	})
}

// Caller returns the identity of the caller, which may be Anonymous.
func Caller(c *fiber.Ctx) auth.Identity {
	return knownOf(c).caller
}

// User returns the caller if it is a user, and else 401 MISSING_TOKEN.
func User(c *fiber.Ctx) (auth.Identity, error) {
	i := Caller(c)
	if !i.IsUser() {
		return i, apperr.MissingToken()
	}
	return i, nil
}

// Admin returns the caller if it is an admin with a session, and else 403 INSUFFICIENT_PERMISSIONS.
func Admin(c *fiber.Ctx) (auth.Identity, error) {
	i, err := User(c)
	if err == nil && (!i.Admin || i.Kind != auth.Session) {
		err = apperr.InsufficientPermissions()
	}
	return i, err
}

// RequireSystem returns 401 unless the gateway itself is the caller; internal routes use it.
func RequireSystem(c *fiber.Ctx) error {
	if Caller(c).Kind != auth.System {
		return apperr.InvalidToken()
	}
	return nil
}

// SystemUserID returns the user that an internal request names in ?user_id=. It returns 401 unless
// the gateway itself is the caller, and 400 VALIDATION_ERROR for a user_id that is no id.
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

// PathID returns the path parameter name if it is an id, and else 400 INVALID_ID_FORMAT. It may be
// kept after the request.
func PathID(c *fiber.Ctx, name string) (string, error) {
	s := utils.CopyString(c.Params(name))
	if !id.Valid(s) {
		return "", apperr.InvalidID()
	}
	return s, nil
}

// SetCaller sets the caller. The gateway uses it, because it establishes identities itself; the log
// line names the user.
func SetCaller(c *fiber.Ctx, i auth.Identity) { knownOf(c).caller = i }

// SetClientAddr sets the address of the client. The gateway uses it, because it determines the
// address itself.
func SetClientAddr(c *fiber.Ctx, addr netip.Addr) { knownOf(c).client = addr }

// clientAddr returns the address from which the client sent the request to the gateway, "" when it
// is not known.
func clientAddr(c *fiber.Ctx) string {
	if k := knownOf(c); k.client.IsValid() {
		return k.client.String()
	}
	return Caller(c).ClientAddr
}

// Query reads the query string; its strings may be kept after the request.
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

// RealmID returns the realm of a request: that of ?realm_id= or of the host, "" when there is
// neither. Two different realms are an error.
func RealmID(c *fiber.Ctx) (string, error) {
	q := Query(c)
	asked := q.RealmID(realm.Parameter)
	if err := q.Err(); err != nil {
		return "", err
	}
	return realm.Resolve(asked, Caller(c).Realm)
}

// timeout gives the handler a context that ends after RequestTimeout.
func (s *Server) timeout(c *fiber.Ctx) context.CancelFunc {
	if s.o.RequestTimeout < 0 {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), s.o.RequestTimeout)
	c.SetUserContext(ctx)
	return cancel
}
