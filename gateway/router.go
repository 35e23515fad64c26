package gateway

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/realm"
)

// route is the route of a path and a method.
type route struct {
	routeRow
	template string   // the path in the table, which is the label of metrics
	known    []string // query parameters
}

// endpoint is a path with all its methods.
type endpoint struct {
	template string
	byMethod map[string]*route
	allow    string // the value of Allow
}

// router finds endpoints by exact segments. A parameter matches any one segment that is not empty;
// an exact segment takes precedence.
type router struct{ root node }

type node struct {
	exact map[string]*node
	param *node
	here  *endpoint
}

func newRouter(rows []routeRow) *router {
	r := &router{}
	for _, row := range rows {
		n := &r.root
		for segment := range strings.SplitSeq(row.path[1:], "/") {
			n = n.child(segment)
		}
		if n.here == nil {
			n.here = &endpoint{template: row.path, byMethod: map[string]*route{}}
		}
		for method := range strings.SplitSeq(row.methods, " ") {
			n.here.add(method, row)
		}
	}
	return r
}

func (n *node) child(segment string) *node {
	if strings.HasPrefix(segment, "{") {
		if n.param == nil {
			n.param = &node{}
		}
		return n.param
	}
	if n.exact == nil {
		n.exact = map[string]*node{}
	}
	if n.exact[segment] == nil {
		n.exact[segment] = &node{}
	}
	return n.exact[segment]
}

// add declares a method; GET brings HEAD with it.
func (e *endpoint) add(method string, row routeRow) {
	rt := &route{routeRow: row, template: e.template, known: append(strings.Fields(row.query), realm.Parameter)}
	e.byMethod[method] = rt
	if method == fiber.MethodGet {
		e.byMethod[fiber.MethodHead] = rt
	}
	var all []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if e.byMethod[m] != nil {
			all = append(all, m)
		}
	}
	e.allow = strings.Join(append(all, fiber.MethodOptions), ", ")
}

// find returns the endpoint of a path, nil when there is none, without allocating.
func (r *router) find(path []byte) *endpoint {
	if len(path) == 0 || path[0] != '/' {
		return nil
	}
	if n := r.root.walk(path[1:]); n != nil {
		return n.here
	}
	return nil
}

func (n *node) walk(rest []byte) *node {
	segment, last := rest, true
	for i, c := range rest {
		if c == '/' {
			segment, rest, last = rest[:i], rest[i+1:], false
			break
		}
	}
	for _, next := range [2]*node{n.exact[string(segment)], n.param} {
		if next == nil || (next == n.param && len(segment) == 0) {
			continue
		}
		if last {
			if next.here != nil {
				return next
			}
			continue
		}
		if found := next.walk(rest); found != nil {
			return found
		}
	}
	return nil
}
