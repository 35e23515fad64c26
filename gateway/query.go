package gateway

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/realm"
)

// apiPrefix begins the paths whose requests are read strictly: documents outside of it take
// whatever a link carries, and the pages that mails link to take even a realm_id that is none.
const apiPrefix = "/api/v1/"

// What an error repeats of a query is bounded.
const (
	maxQueryFaults = 20
	maxParamName   = 64
)

// inAPI reports whether requests to the route are read strictly.
func (row routeRow) inAPI() bool { return strings.HasPrefix(row.path, apiPrefix) }

// readQuery refuses a parameter that the route does not know, because the caller meant something by
// it, and one that is there twice, because two readers could take different values. It returns the
// realm that the query asks for, "" when it names none. All other values are for the handler to
// judge.
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

// paramPath points at a parameter as a JSON pointer (RFC 6901) does, with a bounded part of its
// name.
func paramPath(name []byte) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(text(name, maxParamName))
}

// checkPreconditions refuses a request that is to be carried out under a condition only (RFC 9110,
// section 13), while no route evaluates conditions: to carry it out all the same would overwrite
// what the client wants to keep. The headers that merely save a client from downloading again what
// it has (If-None-Match and If-Modified-Since with GET and HEAD) and If-Range are answered in full,
// as the RFC allows, because browsers and proxies add them by themselves.
func checkPreconditions(h *fasthttp.RequestHeader) error {
	for _, name := range [...]string{fiber.HeaderIfMatch, fiber.HeaderIfUnmodifiedSince, fiber.HeaderIfNoneMatch} {
		if name == fiber.HeaderIfNoneMatch && (h.IsGet() || h.IsHead()) {
			continue
		}
		if len(h.PeekAll(name)) > 0 {
			return apperr.InvalidField("/"+name, "this route does not evaluate conditional requests: send it without the header")
		}
	}
	return nil
}
