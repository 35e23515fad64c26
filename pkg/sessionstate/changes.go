package sessionstate

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/realmgate/realmgate/pkg/id"
)

// ChangedHeader is the internal header with the changes that a request made. users-svc sets it on
// its answer, so that the changes are in force at the forwarding gateway before the client has the
// answer. Announcements reach the other gateways a moment later.
const ChangedHeader = "X-Realmgate-Changed"

// maxChanges bounds the header. A request changes the states of one user, rarely of two.
const maxChanges = 100

// Changes are the changes that one request has made so far.
type Changes struct {
	mu  sync.Mutex
	all []Change
}

type changesKey struct{}

// WithCollector returns a context in which Collect collects changes.
func WithCollector(ctx context.Context) (context.Context, *Changes) {
	c := &Changes{}
	return context.WithValue(ctx, changesKey{}, c), c
}

// Collect adds ch to the changes of the request with this context, if it has a collector.
func Collect(ctx context.Context, ch Change) {
	c, ok := ctx.Value(changesKey{}).(*Changes)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) < maxChanges {
		c.all = append(c.all, ch)
	}
}

// Header returns the value of ChangedHeader, "" for no changes.
func (c *Changes) Header() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for i, ch := range c.all {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(ch.UserID + ":" + strconv.FormatInt(ch.Version, 10))
	}
	return b.String()
}

// ParseChanges reads a ChangedHeader and skips malformed entries.
func ParseChanges(header string) []Change {
	var all []Change
	for one := range strings.SplitSeq(header, ",") {
		userID, version, _ := strings.Cut(one, ":")
		if v, err := strconv.ParseInt(version, 10, 64); err == nil && id.Valid(userID) {
			all = append(all, Change{UserID: userID, Version: v})
		}
	}
	return all
}
