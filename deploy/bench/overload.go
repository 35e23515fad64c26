package main

import (
	"context"
	"fmt"
)

// busyClients is a number of clients that keeps the CPUs busy.
const busyClients = 64

// overloadSubject returns the subject for a number of clients.
func overloadSubject(clients int) string {
	return fmt.Sprintf("vault GET through the gateway, %d clients", clients)
}

// overloadGroup measures how much throughput remains when far more clients send requests than can
// be served, and retry at once after a refusal.
func overloadGroup() group {
	return group{name: "crowd", title: "More clients at once than can be served in time",
		prepare: func(ctx context.Context, b *bench) (plan, error) {
			p := plan{notes: []string{
				fmt.Sprintf("Each client waits for its answer and asks again at once, also after a 503, whose "+
					"Retry-After it does not heed. They share %d accounts, and the CPUs with the product. A refused "+
					"request is a failed one.", vaultConns),
				"CPU and memory are those of gateway, vault-svc and PostgreSQL together.",
			}}
			if err := b.fillVault(ctx, vaultConns); err != nil {
				return p, err
			}
			for _, clients := range []int{busyClients, 1000, 2000} {
				p.subjects = append(p.subjects, subject{
					name: overloadSubject(clients), load: httpLoad(b.product.gateway.addr, clients,
						func(i int) []request { return b.readValue(i % vaultConns) }, 200),
					servers: b.vaultServers(),
				})
				if clients != busyClients {
					p.targets = append(p.targets, target{
						what:    fmt.Sprintf("answers to %d clients ÷ to %d", clients, busyClients),
						subject: overloadSubject(clients), baseline: overloadSubject(busyClients), figure: throughput(),
						informative: true,
					})
				}
			}
			return p, nil
		}}
}
