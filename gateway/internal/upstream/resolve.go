package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// A name is looked up out of turn when none of its addresses can be reached. Two look-ups are at
// least resolveAgainPause apart. A request waits at most resolveAgainTimeout for one, so that a
// service that is away causes a quick 503 even when the resolver is away too.
const (
	resolveAgainPause   = 50 * time.Millisecond
	resolveAgainTimeout = time.Second
)

// resolveTimeout bounds a look-up.
const resolveTimeout = 5 * time.Second

// Run looks the name up again and again until ctx ends.
func (u *Upstream) Run(ctx context.Context) error {
	every := u.cfg.ResolveEvery
	if _, err := netip.ParseAddr(u.host); err == nil {
		every = time.Hour // an address never changes
	}
	for {
		if err := u.Resolve(ctx); err != nil && ctx.Err() == nil {
			u.log.Warn("the name of a service cannot be looked up; its last addresses are used", "upstream", u.name, "error",
				err.Error())
		}
		select {
		case <-ctx.Done():
			u.close()
			return nil
		case <-u.resolveNow:
		case <-time.After(every):
		}
	}
}

// Resolve looks the name up. Addresses that stay keep their connections and breakers.
func (u *Upstream) Resolve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	select {
	case u.resolving <- struct{}{}:
		defer func() { <-u.resolving }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return u.resolveLocked(ctx)
}

// resolveLocked is Resolve for the holder of u.resolving.
func (u *Upstream) resolveLocked(ctx context.Context) error {
	u.resolvedAt = time.Now()
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

// unreachable reports whether a request reached no address. The name may have another one by now.
func unreachable(err error) bool { return errors.Is(err, errNoReplica) || isDialError(err) }

// resolveAgain looks the name up at once and reports whether it has other addresses than the known
// ones. Callers that come meanwhile share the result.
func (u *Upstream) resolveAgain(known *[]*replica, timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, resolveAgainTimeout))
	defer cancel()
	asked := time.Now()
	select {
	case u.resolving <- struct{}{}:
		defer func() { <-u.resolving }()
	case <-ctx.Done():
		return false
	}
	if u.replicas.Load() == known && u.resolvedAt.Before(asked) {
		select {
		case <-time.After(resolveAgainPause - time.Since(u.resolvedAt)):
		case <-ctx.Done():
			return false
		}
		_ = u.resolveLocked(ctx) // Run logs a failing resolver
	}
	return u.replicas.Load() != known
}
