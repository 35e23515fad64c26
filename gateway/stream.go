package gateway

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/gateway/internal/identity"
	"github.com/realmgate/realmgate/gateway/internal/streams"
	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/httpx"
)

// eventIdle is the longest pause between two events of a service, which sends one every
// httpx.SyncEvery.
const eventIdle = 3 * httpx.SyncEvery

// streams reports whether the route's answer to c is a stream. A HEAD request has only its header.
func (ex *exchange) streams(c *fiber.Ctx) bool {
	return ex.route.traits&(eventStream|export) != 0 && c.Method() != fiber.MethodHead
}

// streamType reports whether answers of the route may have the content type.
func (rt *route) streamType(contentType []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte(";"))
	switch string(bytes.TrimSpace(media)) {
	case httpx.TypeEvents:
		return rt.traits&eventStream != 0
	case "application/x-ndjson", "text/csv", "application/zip":
		return rt.traits&export != 0
	}
	return false
}

// openStream sends a request whose answer may be a stream. The place for it is taken first, so that
// a refused client costs the service nothing. It returns nil for an ordinary answer.
func (g *gateway) openStream(c *fiber.Ctx, ex *exchange, u *upstream.Upstream, req *fasthttp.Request,
	call upstream.Call) (*openStream, error) {
	s := &openStream{}
	idle := eventIdle
	if ex.route.traits&eventStream != 0 {
		place, err := g.places.Take(ex.limitKey())
		if err != nil {
			return nil, err
		}
		s.release = place.Release
	} else {
		lease := g.streams.For(ex.limitKey())
		if !lease.TryAcquire(1) {
			return nil, errStreamsBusy()
		}
		s.release, idle = lease.Release, g.cfg.Upstreams.Timeout
	}
	var err error
	s.body, err = u.Open(c.UserContext(), req, c.Response(), call, idle, func(h *fasthttp.ResponseHeader) bool {
		return h.StatusCode() == fiber.StatusOK && ex.route.streamType(h.ContentType())
	})
	if err != nil || s.body == nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// openStream is a stream of a service that has begun.
type openStream struct {
	body    *upstream.Stream
	release func() // gives its place back
}

func (s *openStream) close() {
	_ = s.body.Close()
	s.release()
}

// passStream makes the stream of a service the answer of the gateway, whose status and headers have
// been adopted. It ends when the credential is not valid any more.
func (g *gateway) passStream(c *fiber.Ctx, ex *exchange, s *openStream) error {
	ex.recorded = true // when the stream ends
	e := g.requestEvent(c, ex, c.Response().StatusCode())
	e.Method, e.Path, e.UserAgent = strings.Clone(e.Method), strings.Clone(e.Path), strings.Clone(e.UserAgent)
	h := &c.Response().Header
	h.Del(fiber.HeaderTransferEncoding) // those of the service
	h.Del(fiber.HeaderContentLength)
	contentType := string(h.ContentType())
	credential := &exchange{route: ex.route, principal: ex.principal, clientAddr: ex.clientAddr, realm: ex.realm}
	// guard ends the stream with its credential, and the reading with the stream.
	guard := func(ctx context.Context, end func(httpx.EndReason)) (stop func()) {
		stopReading := context.AfterFunc(ctx, s.body.Interrupt)
		stopWatching := g.identity.Watch(credential.principal, func(p *identity.Principal, err error) {
			if reason := credential.endReason(p, err); reason != "" {
				end(reason)
			}
		})
		return func() { stopReading(); stopWatching() }
	}
	var err error
	if ex.route.traits&eventStream != 0 {
		err = httpx.Events(c, func(ctx context.Context, w *httpx.EventWriter) error {
			defer guard(ctx, w.End)()
			return streams.CopyEvents(ctx, w, s.body)
		})
	} else {
		err = httpx.Stream(c, contentType, func(ctx context.Context, w *httpx.StreamWriter) error {
			defer guard(ctx, w.End)()
			return streams.CopyExport(ctx, w, s.body)
		})
	}
	httpx.OnStreamEnd(c, func(took time.Duration, _ httpx.EndReason) {
		s.close()
		if e.UserID != "" && took > 0 {
			e.ID, e.DurationMS = g.eventIDs.New(g.now()), min(took.Milliseconds(), event.MaxDurationMS)
			_ = g.journal.Append(e) // the journal counts and logs what it drops; the answer has gone
		}
	})
	return err
}

// endReason returns why a stream must end when its credential has become p, or is not known: ""
// when it goes on. A token that was given other permissions and may still use the route resumes, so
// that the service learns them.
func (ex *exchange) endReason(p *identity.Principal, err error) httpx.EndReason {
	if err != nil {
		return httpx.EndDraining
	}
	if p == nil {
		return httpx.EndRevoked
	}
	now := &exchange{route: ex.route, principal: p, clientAddr: ex.clientAddr, realm: ex.realm}
	if now.checkAccess() != nil || now.checkRealm() != nil || !now.granted() {
		return httpx.EndRevoked
	}
	if before, token := ex.token(), now.token(); token != nil && !reflect.DeepEqual(before.Grant, token.Grant) {
		return httpx.EndDraining
	}
	return ""
}

// granted reports whether a token may use the service of its route at all.
func (ex *exchange) granted() bool {
	token := ex.token()
	if token == nil {
		return true
	}
	grant := &token.Grant
	switch ex.route.target {
	case toVault:
		_, ok := grant.Vault()
		return ok
	case toActivity:
		return grant.EventAccess
	}
	return true
}
