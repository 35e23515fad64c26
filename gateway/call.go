package gateway

import (
	"net/netip"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/gateway/internal/journal"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/fairsem"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/realm"
)

// call is what the gateway knows about one request.
type call struct {
	path, query []byte // of the raw target; they point into the request
	fault       edge.PathFault
	endpoint    *endpoint // nil: no such path
	route       *route    // nil: no such path, or not this method
	who         *principal
	addr        netip.Addr
	hostRealm   string // of the host
	realm       string // that the request is about: of the host or the query
	onUser      string // whom an admin's request acted on
	body        []byte
	bodyRead    bool           // to its end
	memory      fairsem.Lease  // of the memory for bodies
	largeMemory fairsem.Lease  // of the memory for large ones
	stream      *fairsem.Lease // the answer's place among those that pass through; nil for none
	// counted is the limit that the request was counted against, for the RateLimit headers.
	counted     ratelimit.Rate
	countResult ratelimit.Result
	recorded    bool
}

type localKey uint8

const keyCall localKey = iota

// serve is the one handler: every request of every client comes through here.
func (g *gateway) serve(c *fiber.Ctx) error {
	cl := &call{}
	c.Locals(keyCall, cl)
	err := g.answerHolding(c, cl)
	g.decorate(c, cl)
	if err != nil {
		return err // BeforeFailure records it
	}
	if err := g.record(c, cl, c.Response().StatusCode()); err != nil && g.cfg.Journal.Mode == journal.ModeRequired {
		return apperr.ServiceUnavailable(err)
	}
	return nil
}

// answerHolding is answer, after which the memory of the body is given back, also in a panic.
func (g *gateway) answerHolding(c *fiber.Ctx, cl *call) error {
	defer func() {
		cl.memory.Release()
		cl.largeMemory.Release()
	}()
	return g.answer(c, cl)
}

// Close ends the call after its answer was written: fasthttp calls it, as that of every value of a
// request that has one.
func (cl *call) Close() error {
	if cl.stream != nil {
		cl.stream.Release()
	}
	return nil
}

// failed is called with every answer of 400 and above, also with those to requests that fasthttp
// could not parse.
func (g *gateway) failed(c *fiber.Ctx, status int) {
	cl, ok := c.Locals(keyCall).(*call)
	if !ok {
		cl = &call{}
		g.decorate(c, cl)
		return
	}
	_ = g.record(c, cl, status) // the failure is counted, and the answer is a failure already
}

// answer takes the request through the gateway's stations, in the order in which a reader of the
// contract expects their errors.
func (g *gateway) answer(c *fiber.Ctx, cl *call) error {
	in := &c.Request().Header
	cl.addr = g.clientAddress(c)
	httpx.SetClientAddr(c, cl.addr)
	takeAbsoluteForm(in)
	if err := edge.CheckRequest(in); err != nil {
		c.Response().SetConnectionClose() // where the next request begins is not certain
		if over := g.count(c, cl); over != nil {
			return over
		}
		return err
	}
	cl.path, cl.query = edge.SplitTarget(in.RequestURI())
	cl.hostRealm = realm.FromHost(in.Host())
	cl.realm = cl.hostRealm
	g.find(c, cl)
	if cl.route == nil {
		return g.unrouted(c, cl)
	}
	if err := g.admit(c, cl); err != nil {
		return err
	}
	if cl.route.inAPI() {
		if err := checkPreconditions(in); err != nil {
			return err
		}
	}
	if err := g.scope(cl); err != nil {
		return err
	}
	if cl.who != nil && cl.who.state.Token != nil {
		g.used.saw(cl.who.state.Token.ID, cl.addr)
	}
	if cl.fault == edge.InvalidKey {
		return apperr.InvalidField("/key", "must be 1 to 255 characters of A-Z, a-z, 0-9, dot, underscore and hyphen")
	}
	if err := g.recordable(cl); err != nil {
		return err // before anything is changed
	}
	if cl.route.target == here {
		return cl.route.serve(g, c, cl)
	}
	if err := g.readBody(c, cl); err != nil {
		return err
	}
	return g.forward(c, cl)
}

// find looks the path up and names the route for metrics.
func (g *gateway) find(c *fiber.Ctx, cl *call) {
	cl.fault = edge.CheckPath(cl.path)
	if cl.fault == edge.PathAmbiguous {
		return
	}
	if cl.endpoint = g.router.find(cl.path); cl.endpoint == nil {
		return
	}
	rt := cl.endpoint.byMethod[c.Method()]
	if cl.fault == edge.InvalidKey && (rt == nil || rt.traits&vaultKey == 0) {
		cl.fault, cl.endpoint = edge.PathAmbiguous, nil
		return
	}
	cl.route = rt
	httpx.SetRoute(c, cl.endpoint.template)
}

// unrouted answers what no route takes. A valid credential is looked at all the same, so that the
// request stands in its user's log.
func (g *gateway) unrouted(c *fiber.Ctx, cl *call) error {
	cl.who, _ = g.auth.authenticate(c.UserContext(), readCredential(&c.Request().Header), cl.addr)
	if err := g.count(c, cl); err != nil {
		return err
	}
	if err := g.recordable(cl); err != nil {
		return err
	}
	switch {
	case g.cors.preflight(c): // of a path that is unknown, too: a browser shows its script the answer to the request itself only then
		if cl.endpoint != nil {
			c.Set(fiber.HeaderAllow, cl.endpoint.allow)
		}
		c.Status(fiber.StatusNoContent)
		return nil
	case cl.fault != edge.PathFine:
		return apperr.BadRequest(nil)
	case cl.endpoint == nil:
		return apperr.RouteNotFound()
	case c.Method() == fiber.MethodOptions:
		c.Set(fiber.HeaderAllow, cl.endpoint.allow)
		c.Status(fiber.StatusNoContent)
		return nil
	}
	return httpx.MethodNotAllowed(cl.endpoint.allow)
}

// recordable refuses a request whose event could not be written, where that is required.
func (g *gateway) recordable(cl *call) error {
	if g.cfg.Journal.Mode != journal.ModeRequired || cl.who == nil {
		return nil
	}
	if err := g.journal.Accepts(); err != nil {
		return apperr.ServiceUnavailable(err)
	}
	return nil
}

// admit lets in who may use the route, and counts everybody.
func (g *gateway) admit(c *fiber.Ctx, cl *call) error {
	if cl.route.access == public {
		return g.count(c, cl)
	}
	who, err := g.auth.authenticate(c.UserContext(), readCredential(&c.Request().Header), cl.addr)
	if err != nil {
		if over := g.count(c, cl); over != nil {
			return over
		}
		return err
	}
	cl.who = who
	httpx.SetCaller(c, auth.Identity{UserID: who.state.UserID})
	if err := g.count(c, cl); err != nil {
		return err
	}
	return cl.mayUse()
}

// mayUse holds the caller against the route's access.
func (cl *call) mayUse() error {
	s := &cl.who.state
	if !cl.who.usableFrom(cl.addr) {
		return apperr.New(apperr.Forbidden, "IP_NOT_ALLOWED", "This token is not valid from this address")
	}
	if s.Banned && cl.route.access != evenBanned {
		return apperr.AccountBanned()
	}
	if cl.route.access == admin && (!s.Admin || s.Token != nil) {
		return apperr.InsufficientPermissions()
	}
	return nil
}

// scope finds the realm that the request is about and keeps restricted tokens inside of theirs.
func (g *gateway) scope(cl *call) error {
	asked, err := cl.route.readQuery(cl.query)
	if err != nil {
		return err
	}
	resolved, err := realm.Resolve(asked, cl.hostRealm)
	if err != nil {
		return err
	}
	if cl.route.traits&takesRealm != 0 {
		cl.realm = resolved
	}
	if cl.who == nil || cl.who.state.Token == nil || cl.route.access == anyRealm {
		return nil
	}
	return cl.who.state.Token.Grant.InRealm(cl.realm)
}
