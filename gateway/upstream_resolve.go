package gateway

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// A name is looked up out of turn when none of its addresses answers, with this pause between two
// look-ups. A request waits for that no longer than the patience, so that a service that is away is
// a quick 503 also while the resolver is.
const (
	lookAgainPause    = 50 * time.Millisecond
	lookAgainPatience = time.Second
)

// run looks the name up again and again until ctx ends.
func (u *upstream) run(ctx context.Context) error {
	every := u.cfg.ResolveEvery
	if _, err := netip.ParseAddr(u.host); err == nil {
		every = time.Hour // an address stays what it is
	}
	for {
		if err := u.resolve(ctx); err != nil && ctx.Err() == nil {
			u.log.Warn("the name of a service cannot be looked up; its last addresses are used", "upstream", u.name, "error",
				err.Error())
		}
		select {
		case <-ctx.Done():
			u.close()
			return nil
		case <-u.lookNow:
		case <-time.After(every):
		}
	}
}

// resolve takes on the addresses that the name has now; those that stay keep their connections and
// breakers.
func (u *upstream) resolve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	select {
	case u.looking <- struct{}{}:
		defer func() { <-u.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return u.resolveAlone(ctx)
}

// resolveAlone is resolve for the holder of u.looking.
func (u *upstream) resolveAlone(ctx context.Context) error {
	u.lookedUp = time.Now()
	ips, err := u.lookup(ctx, "ip", u.host)
	if err != nil {
		return err
	}
	var addrs []string
	for _, ip := range ips {
		addrs = append(addrs, net.JoinHostPort(ip.Unmap().String(), u.port))
	}
	slices.Sort(addrs)
	addrs = slices.Compact(addrs)
	old := *u.replicas.Load()
	next := make([]*replica, 0, len(addrs))
	for _, addr := range addrs {
		if i := slices.IndexFunc(old, func(r *replica) bool { return r.addr == addr }); i >= 0 {
			next = append(next, old[i])
			continue
		}
		next = append(next, u.newReplica(addr))
	}
	if slices.Equal(old, next) {
		return nil
	}
	u.replicas.Store(&next)
	u.metrics.addresses.WithLabelValues(u.name).Set(float64(len(next)))
	for _, r := range old {
		if !slices.Contains(next, r) {
			r.client.CloseIdleConnections()
		}
	}
	return nil
}

// nobodyThere reports whether a request reached no address, which is no proof that the name has
// none by now.
func nobodyThere(err error) bool { return errors.Is(err, errNoReplica) || isDialError(err) }

// lookAgain looks the name up at once and reports whether it has other addresses than those known.
// Callers that come meanwhile share the answer.
func (u *upstream) lookAgain(known *[]*replica, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), min(patience, lookAgainPatience))
	defer cancel()
	asked := time.Now()
	select {
	case u.looking <- struct{}{}:
		defer func() { <-u.looking }()
	case <-ctx.Done():
		return false
	}
	if u.replicas.Load() == known && u.lookedUp.Before(asked) {
		select {
		case <-time.After(lookAgainPause - time.Since(u.lookedUp)):
		case <-ctx.Done():
			return false
		}
		_ = u.resolveAlone(ctx) // run logs a resolver that fails
	}
	return u.replicas.Load() != known
}
