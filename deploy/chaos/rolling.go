package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// roll restarts every process of ours in turn, in its orderly way, as a new release would. Two of each service run, so that one is always
// there; a balancer in front of the gateways leaves out one that says that it is not ready.
func (w *world) roll(ctx context.Context) error {
	if err := startAndWait(ctx, w.users2); err != nil {
		return err
	}
	balancing, stop := context.WithCancel(ctx)
	defer w.load.rotate(0, 1)
	defer stop()
	go each(balancing, 50*time.Millisecond, w.balance)
	for _, i := range []*instance{w.users, w.users2, w.vaults[0], w.vaults[1], w.activities[0], w.activities[1], w.gateways[0], w.gateways[1]} {
		if err := i.stop(ctx); err != nil {
			return fmt.Errorf("rolling restart: %w", err)
		}
		if err := startAndWait(ctx, i.process); err != nil {
			return fmt.Errorf("rolling restart: %w", err)
		}
		pause(ctx, calmFor/2)
	}
	return w.users2.stop(ctx)
}

// balance asks the gateways whether they are ready and sends requests to those that are.
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
