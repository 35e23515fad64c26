package gateway

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/realm"
)

// apiPrefix begins the paths whose queries are read strictly. Documents accept any parameters that
// a link carries, and the pages in mails even an invalid realm_id.
const apiPrefix = "/api/v1/"

// Bounds of what an error repeats of a query.
const (
	maxQueryFaults = 20
	maxParamName   = 64
)

// inAPI reports whether requests to the route are read strictly.
func (row routeRow) inAPI() bool { return strings.HasPrefix(row.path, apiPrefix) }

// readQuery refuses a parameter that the route does not know, because the caller meant something by
// it, and one that occurs twice, because two readers could take different values. It returns the
// realm that the query asks for, "" when it names none. Handlers validate all other values.
func (rt *route) readQuery(query []byte) (asked string, err error) {
	if len(query) == 0 || rt.traits&webPage != 0 {
		return "", nil
	}
	args := fasthttp.AcquireArgs()
	defer fasthttp.ReleaseArgs(args)
	args.ParseBytes(query)
	var faults []apperr.Violation
	var seen []string
	for key, value := range args.All() {
		if len(faults) == maxQueryFaults {
			break
		}
		fail := func(rule string) {
			faults = append(faults, apperr.Violation{InstancePath: paramPath(key), Message: rule})
		}
		i := slices.Index(rt.known, string(key))
		switch {
		case i < 0 && !rt.inAPI():
			continue
		case i < 0:
			fail("is not a query parameter of this route")
			continue
		case slices.Contains(seen, rt.known[i]):
			fail("must not stand more than once")
			continue
		}
		seen = append(seen, rt.known[i])
		if rt.known[i] == realm.Parameter {
			var ok bool
			if asked, ok = realm.Parse(string(value)); !ok {
				fail(realm.Format)
			}
		}
	}
	if faults != nil {
		return "", apperr.Validation(faults...)
	}
	return asked, nil
}

// paramPath returns the JSON pointer (RFC 6901) of a parameter, whose name is cut at maxParamName.
func paramPath(name []byte) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(text(name, maxParamName))
}

// conditionHeaders are the headers that make a request conditional and that a service evaluates.
func conditionHeaders() [4]string {
	return [4]string{fiber.HeaderIfMatch, fiber.HeaderIfUnmodifiedSince, fiber.HeaderIfNoneMatch,
		fiber.HeaderIfModifiedSince}
}

// checkPreconditions refuses a conditional request (RFC 9110, section 13) on a route that does not
// evaluate conditions: without the condition, a write would overwrite what the client wants to
// keep. Requests with If-None-Match (GET and HEAD), If-Modified-Since or If-Range are answered in
// full, as the RFC allows, because browsers and proxies add these headers by themselves.
func (rt *route) checkPreconditions(h *fasthttp.RequestHeader) error {
	if !rt.inAPI() || rt.traits&conditional != 0 {
		return nil
	}
	for _, name := range conditionHeaders() {
		if name == fiber.HeaderIfModifiedSince || name == fiber.HeaderIfNoneMatch && (h.IsGet() || h.IsHead()) {
			continue
		}
		if len(h.PeekAll(name)) > 0 {
			return apperr.InvalidField("/"+name, "this route does not evaluate conditional requests: send it without the header")
		}
	}
	return nil
}
