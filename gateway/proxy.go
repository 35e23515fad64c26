package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/gofiber/fiber/v2"
	"github.com/maypok86/otter/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

// bufferedAnswer is how long an answer may be that is read whole before it is passed on; a longer
// one passes through.
const bufferedAnswer = 256 << 10

// forward passes the request to the service of its route and the answer back. Only named headers
// pass in either direction: what a client sends under an internal name, and what belongs to one
// connection, ends here.
func (g *gateway) forward(c *fiber.Ctx, cl *call) error {
	u := g.upstreams[cl.route.target]
	identity, err := g.signed(cl, u)
	if err != nil {
		return err
	}
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	in := c.Request()
	req.Header.SetNoDefaultContentType(true)
	req.Header.DisableNormalizing() // every name below is written as it is to be sent
	req.Header.SetMethodBytes(in.Header.Method())
	req.Header.SetRequestURIBytes(in.Header.RequestURI())
	req.Header.SetHost(u.Host())
	req.UseHostHeader = true
	copyList(req, in, fiber.HeaderAccept)
	copyHeader(req, in, fiber.HeaderUserAgent)
	copyHeader(req, in, fiber.HeaderContentType)
	if cl.route.traits&passesBearer != 0 {
		copyHeader(req, in, fiber.HeaderAuthorization)
	}
	req.Header.Set(fiber.HeaderXRequestID, httpx.RequestID(c))
	req.Header.Set(auth.IdentityHeader, identity)
	if cl.body != nil {
		req.SetBodyRaw(cl.body)
	}
	resp := c.Response()
	// what is written is what is answered
	resp.StreamBody = cl.route.traits&vaultKey != 0 && (cl.body == nil || len(cl.body) > bufferedAnswer)
	// The expensive work behind a public route is hashing, which users-svc queues itself.
	err = u.Send(c.UserContext(), req, resp, upstream.Call{Route: cl.route.template, Limited: cl.route.access != public})
	if err != nil {
		resp.Reset()
		if errors.Is(err, upstream.ErrOverloaded) {
			err = nil // the upstream logs the overload, not each refusal
		}
		return apperr.ServiceUnavailable(err)
	}
	if resp.StatusCode() == fiber.StatusUnauthorized && len(resp.Header.Peek(auth.RefusedHeader)) > 0 {
		_ = resp.CloseBodyStream()
		resp.Reset()
		return apperr.ServiceUnavailable(u.IdentityRefused()) // no fault of the client, whose credential is good
	}
	if cl.route.target == toUsers {
		g.auth.states.told(&resp.Header)
	}
	if err := cl.accept(resp); err != nil || !resp.IsBodyStream() {
		return err
	}
	return g.pass(c, cl)
}

// partOfConns is the part of the connections to one address of a service that one client may hold
// for answers that pass through, which have half of them together.
const partOfConns = 16

// pass takes a place for an answer that passes through, because for as long as its client takes to
// read it, it has a connection to the service. A read that finds none is refused at once; a write
// waits, because it is done.
func (g *gateway) pass(c *fiber.Ctx, cl *call) error {
	place := g.streams.For(cl.holder())
	if cl.body == nil && place.TryAcquire(1) || cl.body != nil && place.Acquire(c.UserContext(), 1) == nil {
		cl.stream = &place
		return nil
	}
	_ = c.Response().CloseBodyStream()
	c.Response().Reset()
	return apperr.ServiceUnavailable(nil)
}

func copyHeader(to, from *fasthttp.Request, name string) {
	if v := from.Header.Peek(name); len(v) > 0 {
		to.Header.SetBytesV(name, v)
	}
}

// copyList is copyHeader of a header whose lines are one list (RFC 9110, section 5.3).
func copyList(to, from *fasthttp.Request, name string) {
	switch lines := from.Header.PeekAll(name); len(lines) {
	case 0:
	case 1:
		to.Header.SetBytesV(name, lines[0])
	default:
		to.Header.SetBytesV(name, bytes.Join(lines, []byte(", ")))
	}
}

// accept makes the service's answer ours. What is not of the route's type did not come from a
// handler of ours and is not shown.
func (cl *call) accept(resp *fasthttp.Response) error {
	expected := isJSON(resp.Header.ContentType()) || cl.route.traits&webPage != 0 &&
		bytes.HasPrefix(resp.Header.ContentType(), []byte("text/html"))
	if !expected || resp.StatusCode() < 200 {
		status := resp.StatusCode()
		_ = resp.CloseBodyStream()
		resp.Reset()
		return apperr.ServiceUnavailable(fmt.Errorf("answer %d without an envelope", status))
	}
	if resp.IsBodyStream() {
		if n := resp.Header.ContentLength(); n >= 0 && n <= bufferedAnswer && !readWhole(resp, n) {
			resp.Reset()
			return apperr.ServiceUnavailable(errors.New("the answer broke off"))
		}
	}
	h := &resp.Header
	if on := h.Peek(internalapi.OnUserHeader); len(on) > 0 {
		if cl.onUser = string(on); !id.Valid(cl.onUser) {
			cl.onUser = ""
		}
	}
	h.Del(fiber.HeaderXRequestID) // every answer has it: onlyOurs is for what is rare
	onlyOurs(h)
	return nil
}

// readWhole reads a streamed answer of n bytes of JSON and gives its connection back; false when it
// broke off. Then fasthttp puts the text of the error in the body's place, which would be told from
// an answer of the same length by its first character.
func readWhole(resp *fasthttp.Response, n int) bool {
	body := resp.Body()
	return len(body) == n && (n == 0 || body[0] == '{')
}

func isJSON(contentType []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte(";"))
	media = bytes.TrimSpace(media)
	return bytes.Equal(media, []byte("application/json")) || bytes.Equal(media, []byte("application/problem+json")) ||
		bytes.Equal(media, []byte("application/jwk-set+json"))
}

// signed returns the internal identity of the request for a service. One that was signed a moment
// ago for the same caller, realm and address is used again.
func (g *gateway) signed(cl *call, u *upstream.Upstream) (string, error) {
	if cl.who == nil {
		return g.anonymous.signed(cl, u, g.keys[cl.route.target])
	}
	slot := &cl.who.signed[cl.route.target]
	now := g.now()
	if s := slot.Load(); s != nil && s.realm == cl.hostRealm && s.addr == cl.addr && now.Before(s.until) {
		return s.header, nil
	}
	header, err := g.keys[cl.route.target].Sign(cl.who.identity(cl.hostRealm, cl.addr.String()), u.Name())
	if err == nil {
		slot.Store(&signedIdentity{header: header, realm: cl.hostRealm, addr: cl.addr, until: now.Add(auth.IdentityTTL / 6)})
	}
	return header, err
}

// anonymous remembers the identities of those who need none, such as readers of the public keys.
type anonymous struct {
	headers *otter.Cache[anonymousKey, string]
}

type anonymousKey struct {
	audience, realm string
	addr            netip.Addr
}

const maxAnonymous = 10_000

func newAnonymous() anonymous {
	return anonymous{otter.Must(&otter.Options[anonymousKey, string]{
		MaximumSize: maxAnonymous, ExpiryCalculator: otter.ExpiryWriting[anonymousKey, string](auth.IdentityTTL / 6),
	})}
}

func (a anonymous) signed(cl *call, u *upstream.Upstream, keys *auth.InternalKeys) (string, error) {
	key := anonymousKey{u.Name(), cl.hostRealm, cl.addr}
	if header, ok := a.headers.GetIfPresent(key); ok {
		return header, nil
	}
	header, err := keys.Sign(auth.Identity{Kind: auth.Anonymous, Realm: cl.hostRealm, ClientAddr: cl.addr.String()},
		u.Name())
	if err == nil {
		a.headers.Set(key, header)
	}
	return header, err
}
