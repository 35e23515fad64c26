package gateway

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// maxBuffered is the largest answer that is read whole before it is passed on. A longer one is
// streamed.
const maxBuffered = 256 << 10

// streamShare is the divisor of the connections to one address of a service that one client may
// occupy with streamed answers. Together, streamed answers may occupy half of the connections.
const streamShare = 16

// forward sends the request to the service of its route and passes the answer on.
func (g *gateway) forward(c *fiber.Ctx, ex *exchange) error {
	u := g.upstreams[ex.route.target]
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	if err := g.internalRequest(c, ex, u, req); err != nil {
		return err
	}
	resp := c.Response()
	// Only reads and restores of a vault key, large writes, whose answer repeats the value, and
	// batches have large answers.
	resp.StreamBody = ex.route.traits&conditional != 0 && (ex.route.body != vaultBody || len(ex.body) > maxBuffered) ||
		ex.route.traits&vaultBatch != 0
	// The expensive work behind a public route is hashing, which users-svc queues itself.
	call := upstream.Call{Route: ex.route.template, Limited: ex.route.access != public}
	var stream *openStream
	var err error
	if ex.streams(c) {
		stream, err = g.openStream(c, ex, u, req, call)
	} else {
		err = u.Send(c.UserContext(), req, resp, call)
	}
	if err != nil {
		resp.Reset()
		if refused, ok := errors.AsType[*apperr.Error](err); ok {
			return refused
		}
		if errors.Is(err, upstream.ErrOverloaded) {
			err = nil // the upstream logs the overload, not each refusal
		}
		return apperr.ServiceUnavailable(err)
	}
	if resp.StatusCode() == fiber.StatusUnauthorized && len(resp.Header.Peek(auth.RefusedHeader)) > 0 {
		_ = resp.CloseBodyStream()
		resp.Reset()
		return apperr.ServiceUnavailable(u.IdentityRefused()) // the credential of the client is valid
	}
	if ex.route.target == toUsers {
		g.identity.ApplyHeader(resp.Header.Peek(sessionstate.ChangedHeader))
	}
	err = ex.adoptAnswer(resp)
	switch {
	case err == nil && stream != nil:
		return g.passStream(c, ex, stream)
	case err == nil && resp.IsBodyStream():
		return g.reserveStream(c, ex)
	case stream != nil:
		stream.close()
	}
	return err
}

// internalRequest makes the request that goes to the service. Only listed headers pass in either
// direction, so a client cannot send one under an internal name, and headers of one connection stay
// on it.
func (g *gateway) internalRequest(c *fiber.Ctx, ex *exchange, u *upstream.Upstream, req *fasthttp.Request) error {
	identityHeader, err := g.identity.Sign(ex.principal, ex.route.target.audience(), ex.hostRealm, ex.clientAddr)
	if err != nil {
		return err
	}
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
	if ex.route.traits&conditional != 0 {
		for _, name := range conditionHeaders() {
			copyList(req, in, name)
		}
	}
	if ex.route.traits&eventStream != 0 {
		copyHeader(req, in, httpx.HeaderLastEventID)
	}
	if ex.route.traits&passesBearer != 0 {
		copyHeader(req, in, fiber.HeaderAuthorization)
	}
	if ex.route.traits&redirects != 0 {
		copySignInCookie(req, in)
	}
	req.Header.Set(fiber.HeaderXRequestID, httpx.RequestID(c))
	req.Header.Set(auth.IdentityHeader, identityHeader)
	if ex.body != nil {
		req.SetBodyRaw(ex.body)
	}
	if ex.consoleCall != nil {
		ex.consoleCall.Apply(req)
	}
	return nil
}

// reserveStream takes a lease for a streamed answer, which occupies a connection to the service for
// as long as its client takes to read it. Without one, a read is refused at once; a write waits,
// because it is done.
func (g *gateway) reserveStream(c *fiber.Ctx, ex *exchange) error {
	lease := g.streams.For(ex.limitKey())
	read := c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead
	if read && lease.TryAcquire(1) || !read && lease.Acquire(c.UserContext(), 1) == nil {
		ex.streamLease = &lease
		return nil
	}
	_ = c.Response().CloseBodyStream()
	c.Response().Reset()
	return errStreamsBusy()
}

// errStreamsBusy refuses an answer that would be streamed: the client, or all together, read as
// many as they may.
func errStreamsBusy() error { return apperr.ServiceUnavailable(nil) }

func copyHeader(to, from *fasthttp.Request, name string) {
	if v := from.Header.Peek(name); len(v) > 0 {
		to.Header.SetBytesV(name, v)
	}
}

// copySignInCookie copies the cookie that binds a sign-in to its browser, and no other.
func copySignInCookie(to, from *fasthttp.Request) {
	for _, name := range [...]string{internalapi.SignInCookie, internalapi.SecureSignInCookie} {
		if value := from.Header.Cookie(name); len(value) > 0 {
			to.Header.SetCookieBytesKV([]byte(name), value)
		}
	}
}

// copyList copies a header whose lines are one list (RFC 9110, section 5.3).
func copyList(to, from *fasthttp.Request, name string) {
	switch lines := from.Header.PeekAll(name); len(lines) {
	case 0:
	case 1:
		to.Header.SetBytesV(name, lines[0])
	default:
		to.Header.SetBytesV(name, bytes.Join(lines, []byte(", ")))
	}
}

// adoptAnswer makes the answer of a service the answer of the gateway. An answer of another type
// than the route's did not come from a handler of the service and is not shown.
func (ex *exchange) adoptAnswer(resp *fasthttp.Response) error {
	elsewhere := ex.route.traits&redirects != 0 && resp.StatusCode() == fiber.StatusFound
	expected := elsewhere || isJSON(resp.Header.ContentType()) || ex.route.traits&webPage != 0 &&
		bytes.HasPrefix(resp.Header.ContentType(), []byte("text/html")) ||
		ex.route.traits&conditional != 0 && resp.StatusCode() == fiber.StatusNotModified ||
		resp.StatusCode() == fiber.StatusOK && ex.route.streamType(resp.Header.ContentType())
	if !expected || resp.StatusCode() < 200 {
		status := resp.StatusCode()
		_ = resp.CloseBodyStream()
		resp.Reset()
		return apperr.ServiceUnavailable(fmt.Errorf("answer %d without an envelope", status))
	}
	if len(resp.Header.Peek(internalapi.OperationsHeader)) > 0 {
		if err := ex.takeOperations(resp); err != nil {
			_ = resp.CloseBodyStream()
			resp.Reset()
			return apperr.ServiceUnavailable(err)
		}
	}
	if resp.IsBodyStream() {
		if n := resp.Header.ContentLength(); n >= 0 && n <= maxBuffered && !readWhole(resp, n) {
			resp.Reset()
			return apperr.ServiceUnavailable(errors.New("the answer broke off"))
		}
	}
	h := &resp.Header
	if userID := h.Peek(internalapi.OnUserHeader); len(userID) > 0 {
		if ex.targetUserID = string(userID); !id.Valid(ex.targetUserID) {
			ex.targetUserID = ""
		}
	}
	h.Del(fiber.HeaderXRequestID) // in every answer; stripHeaders is for rare headers
	stripHeaders(h, elsewhere)
	return nil
}

// readWhole reads a streamed answer of n bytes of JSON and gives its connection back; false when it
// broke off. fasthttp then returns the text of the error as the body, which differs from an answer
// of the same length in its first character.
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
