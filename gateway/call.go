package gateway

import (
	"net/netip"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/gateway/console"
	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/gateway/internal/identity"
	"github.com/realmgate/realmgate/gateway/internal/journal"
	"github.com/realmgate/realmgate/gateway/internal/memory"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/fairsem"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/realm"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// exchange is one request and its answer.
type exchange struct {
	start        time.Time
	path, query  []byte // of the raw target; they point into the request
	fault        edge.PathFault
	endpoint     *endpoint           // nil: no such path
	route        *route              // nil: no such path, or not this method
	principal    *identity.Principal // nil: no user
	clientAddr   netip.Addr
	hostRealm    string // the realm of the host
	realm        string // the realm that the request is about
	targetUserID string // the user on whom an admin's request acted
	body         []byte
	bodyRead     bool // to its end
	bodyMemory   memory.Reservation
	streamLease  *fairsem.Lease // nil: the answer is not streamed
	console      *console.Session
	consoleCall  *console.Call // nil: the request is forwarded as the client sent it
	// limit is the last limit that the request was counted against, for the RateLimit headers.
	limit       ratelimit.Rate
	limitResult ratelimit.Result
	recorded    bool
	// operations are those of a batch; each gets a record of its own.
	operations []internalapi.Operation
}

type localKey uint8

const keyExchange localKey = iota

// handle is the only handler: it serves every request of every client.
func (g *gateway) handle(c *fiber.Ctx) error {
	ex := &exchange{start: time.Now()}
	c.Locals(keyExchange, ex)
	err := g.answerAndRelease(c, ex)
	g.setHeaders(c, ex)
	if err != nil {
		return err // beforeFailure records it
	}
	if err := g.record(c, ex, c.Response().StatusCode()); err != nil && g.cfg.Journal.Mode == journal.ModeRequired {
		return apperr.ServiceUnavailable(err)
	}
	return nil
}

// answerAndRelease answers, and then gives back the memory of the body, also after a panic.
func (g *gateway) answerAndRelease(c *fiber.Ctx, ex *exchange) error {
	defer ex.bodyMemory.Release()
	return g.answer(c, ex)
}

// Close ends the exchange after its answer was written. fasthttp calls it, as it does for every
// request value that has a Close method.
func (ex *exchange) Close() error {
	if ex.streamLease != nil {
		ex.streamLease.Release()
	}
	return nil
}

// beforeFailure is called with every answer of 400 and above, including those to requests that
// fasthttp could not parse.
func (g *gateway) beforeFailure(c *fiber.Ctx, status int) {
	ex, ok := c.Locals(keyExchange).(*exchange)
	if !ok {
		ex = &exchange{}
		g.setHeaders(c, ex)
		return
	}
	_ = g.record(c, ex, status) // the journal counts the failure, and the answer is a failure already
}

// answer takes the request through the steps of the gateway, in the order in which the contract
// lists their errors.
func (g *gateway) answer(c *fiber.Ctx, ex *exchange) error {
	in := &c.Request().Header
	ex.clientAddr = g.proxies.ClientAddr(c)
	httpx.SetClientAddr(c, ex.clientAddr)
	edge.ToOriginForm(in)
	if err := edge.CheckRequest(in); err != nil {
		c.Response().SetConnectionClose() // where the next request begins is not certain
		if limited := g.count(c, ex); limited != nil {
			return limited
		}
		return err
	}
	ex.path, ex.query = edge.SplitTarget(in.RequestURI())
	ex.hostRealm = realm.FromHost(in.Host())
	ex.realm = ex.hostRealm
	g.route(c, ex)
	if ex.route == nil {
		return g.answerUnrouted(c, ex)
	}
	if err := g.authorize(c, ex); err != nil {
		return err
	}
	if err := ex.route.checkPreconditions(in); err != nil {
		return err
	}
	if err := ex.resolveRealm(); err != nil {
		return err
	}
	if err := g.beginConsole(c, ex); err != nil {
		return err
	}
	if token := ex.token(); token != nil {
		g.identity.TokenUsed(token.ID, ex.clientAddr)
	}
	if ex.fault == edge.InvalidKey {
		return apperr.InvalidField("/key", "must be 1 to 255 characters of A-Z, a-z, 0-9, dot, underscore and hyphen")
	}
	if err := g.checkJournal(ex); err != nil { // before anything is changed
		return err
	}
	return g.serve(c, ex)
}

// serve answers an admitted request, by the gateway itself or by a service.
func (g *gateway) serve(c *fiber.Ctx, ex *exchange) error {
	if ex.route.target == here {
		return ex.route.handle(g, c, ex)
	}
	if ex.route.traits&ofUser != 0 {
		if err := g.requireUser(c.UserContext(), ex); err != nil {
			return err
		}
	}
	if !ex.bodyRead {
		if err := g.readBody(c, ex); err != nil {
			return err
		}
	}
	switch {
	case ex.console != nil:
		return g.forwardConsole(c, ex)
	case ex.route.traits&(webPage|redirects) == webPage:
		return g.mailedPage(c, ex)
	}
	return g.forward(c, ex)
}

// route finds the endpoint and the route of the request, and names the route for metrics.
func (g *gateway) route(c *fiber.Ctx, ex *exchange) {
	ex.fault = edge.CheckPath(ex.path)
	if ex.fault == edge.PathAmbiguous {
		return
	}
	if ex.endpoint = g.router.find(ex.path); ex.endpoint == nil {
		return
	}
	rt := ex.endpoint.byMethod[c.Method()]
	if ex.fault == edge.InvalidKey && (rt == nil || rt.traits&vaultKey == 0) {
		ex.fault, ex.endpoint = edge.PathAmbiguous, nil
		return
	}
	ex.route = rt
	httpx.SetRoute(c, ex.endpoint.template)
}

// answerUnrouted answers a request that no route takes. It authenticates all the same, so that the
// request is in its user's log.
func (g *gateway) answerUnrouted(c *fiber.Ctx, ex *exchange) error {
	ex.principal, _ = g.authenticate(c, ex)
	if err := g.count(c, ex); err != nil {
		return err
	}
	if err := g.checkJournal(ex); err != nil {
		return err
	}
	switch {
	case g.cors.IsPreflight(c): // also of an unknown path: otherwise a browser hides the 404 from its script
		if ex.endpoint != nil {
			c.Set(fiber.HeaderAllow, ex.endpoint.allow)
		}
		c.Status(fiber.StatusNoContent)
		return nil
	case ex.fault != edge.PathFine:
		return apperr.BadRequest(nil)
	case ex.endpoint == nil && g.wantsPage(c, ex):
		return g.console.ServePage(c, string(ex.path))
	case ex.endpoint == nil:
		return apperr.RouteNotFound()
	case c.Method() == fiber.MethodOptions:
		c.Set(fiber.HeaderAllow, ex.endpoint.allow)
		c.Status(fiber.StatusNoContent)
		return nil
	}
	return httpx.MethodNotAllowed(ex.endpoint.allow)
}

// checkJournal refuses a request whose event could not be recorded, when ACTIVITY_MODE requires
// that.
func (g *gateway) checkJournal(ex *exchange) error {
	if g.cfg.Journal.Mode != journal.ModeRequired || ex.principal == nil {
		return nil
	}
	if err := g.journal.Accepts(); err != nil {
		return apperr.ServiceUnavailable(err)
	}
	return nil
}

func (g *gateway) authenticate(c *fiber.Ctx, ex *exchange) (*identity.Principal, error) {
	return g.identity.Authenticate(c.UserContext(), identity.ReadCredential(&c.Request().Header), ex.clientAddr)
}

// authorize authenticates unless the route is public, counts the request against its limits, and
// checks the access of the route.
func (g *gateway) authorize(c *fiber.Ctx, ex *exchange) error {
	if ex.route.access == public {
		return g.count(c, ex)
	}
	principal, err := g.authenticate(c, ex)
	if err != nil {
		if limited := g.count(c, ex); limited != nil {
			return limited
		}
		if ex.route.traits&takesRefresh != 0 && apperr.From(err).Kind == apperr.Unauthenticated {
			return g.requireRefreshToken(c, ex, err)
		}
		return err
	}
	ex.principal = principal
	httpx.SetCaller(c, auth.Identity{UserID: principal.State().UserID})
	if err := g.count(c, ex); err != nil {
		return err
	}
	return ex.checkAccess()
}

// requireRefreshToken reads the body and returns unauthenticated unless the body has a refresh
// token, which the service verifies.
func (g *gateway) requireRefreshToken(c *fiber.Ctx, ex *exchange, unauthenticated error) error {
	if err := g.readBody(c, ex); err != nil {
		return err
	}
	body, err := input.ParseFields(ex.body, "refreshToken")
	if err != nil || !body.Has("refreshToken") {
		return unauthenticated
	}
	return nil
}

// checkAccess compares the principal with the access of the route.
func (ex *exchange) checkAccess() error {
	state := ex.principal.State()
	if !ex.principal.AllowedFrom(ex.clientAddr) {
		return apperr.New(apperr.Forbidden, "IP_NOT_ALLOWED", "This token is not valid from this address")
	}
	if state.Banned && ex.route.access != evenBanned {
		return apperr.AccountBanned()
	}
	if ex.route.access == admin && state.AdminNeeds2FA && state.Token == nil {
		return apperr.New(apperr.Forbidden, "ADMIN_TWOFACTOR_REQUIRED",
			"Administration needs two-factor authentication: set it up for your account")
	}
	if ex.route.access == admin && (!state.Admin || state.Token != nil) {
		return apperr.InsufficientPermissions()
	}
	return nil
}

// resolveRealm finds the realm that the request is about, and refuses a restricted token outside of
// its realms.
func (ex *exchange) resolveRealm() error {
	asked, err := ex.route.readQuery(ex.query)
	if err != nil {
		return err
	}
	resolved, err := realm.Resolve(asked, ex.hostRealm)
	if err != nil {
		return err
	}
	if ex.route.traits&takesRealm != 0 {
		ex.realm = resolved
	}
	return ex.checkRealm()
}

// checkRealm refuses a restricted token outside of its realms.
func (ex *exchange) checkRealm() error {
	token := ex.token()
	if token == nil || ex.route.access == anyRealm {
		return nil
	}
	return token.Grant.InRealm(ex.realm)
}

// token returns the auth token of the request, nil for a session and for no user.
func (ex *exchange) token() *sessionstate.Token {
	if ex.principal == nil {
		return nil
	}
	return ex.principal.State().Token
}
