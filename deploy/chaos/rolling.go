package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// roll restarts every service instance in turn in an orderly way, as a new release would. Two
// instances of each service run, so that one is always available. A balancer in front of the
// gateways skips any that reports that it is not ready.
func (w *world) roll(ctx context.Context) error {
	if err := startAndWait(ctx, w.users2); err != nil {
		return err
	}
	if err := w.nameUsers(ctx, loopback, loopback2); err != nil {
		return err
	}
	balancing, stop := context.WithCancel(ctx)
	defer w.load.rotate(0, 1)
	defer stop()
	go each(balancing, 50*time.Millisecond, w.balance)
	for _, i := range []*instance{w.users, w.users2, w.vaults[0], w.vaults[1], w.activities[0], w.activities[1],
		w.gateways[0], w.gateways[1]} {
		if err := i.stop(ctx); err != nil {
			return fmt.Errorf("rolling restart: %w", err)
		}
		if err := startAndWait(ctx, i.process); err != nil {
			return fmt.Errorf("rolling restart: %w", err)
		}
		pause(ctx, calmFor/2)
	}
	if err := w.nameUsers(ctx, loopback); err != nil {
		return err
	}
	return w.users2.stop(ctx)
}

// nameUsers changes the addresses of users-svc and waits until the gateways have resolved the name
// again.
func (w *world) nameUsers(ctx context.Context, addrs ...string) error {
	if err := w.nameServices(addrs...); err != nil {
		return err
	}
	for _, g := range w.gateways[:2] {
		for deadline := time.Now().Add(resolvePatience); ; pause(ctx, 100*time.Millisecond) {
			n, err := metric(g, `upstream_addresses{upstream="users-svc"}`)
			if err == nil && n == float64(len(addrs)) {
				break
			}
			if time.Now().After(deadline) || ctx.Err() != nil {
				return fmt.Errorf("%s does not see the %d addresses of users-svc: it has %v (%w)", g.name, len(addrs),
					n, errors.Join(err, ctx.Err()))
			}
		}
	}
	return nil
}

// resolvePatience limits the wait for a change of names: Go's resolver caches /etc/hosts for 5
// seconds.
const resolvePatience = 15 * time.Second

// balance asks each gateway whether it is ready and sends requests to the ready ones only.
func (w *world) balance() {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var good []int
	for i, g := range w.gateways[:2] {
		if res, err := client.Get("http://" + g.admin + "/readyz"); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				good = append(good, i)
			}
		}
	}
	if len(good) > 0 {
		w.load.rotate(good...)
	}
}
