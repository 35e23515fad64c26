package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// standaloneGroup measures how fast standalone is ready with a data folder from an earlier run.
func standaloneGroup() group {
	return group{name: "standalone", title: "Starting standalone, and idling", alone: true,
		prepare: func(ctx context.Context, b *bench) (plan, error) {
			const name = "standalone, on an existing folder"
			if _, err := b.startStandalone(ctx); err != nil { // creates the folder
				return plan{}, err
			}
			return plan{
				unit:     "starts",
				subjects: []subject{{name: name, measure: b.startStandalone}},
				targets: []target{{
					what: "standalone ready on an existing folder, limit 2 s", subject: name,
					figure: metric{"time to ready", func(c cell) float64 { return c.Took.Seconds() }},
					bound:  1, limit: 2, write: func(s float64) string { return number(s) + " s" },
				}},
				notes: []string{"From the start of the process to the first 200 of its public door; PostgreSQL, " +
					"NATS and Redis start with it. Memory is that of all its processes, PostgreSQL included."},
			}, nil
		}}
}

// startStandalone starts standalone, waits until its public address answers, and stops it.
func (b *bench) startStandalone(ctx context.Context) (cell, error) {
	addr, err := b.freeAddr()
	if err != nil {
		return cell{}, err
	}
	began := time.Now()
	p, err := start(b.logs(), "standalone", filepath.Join(b.tools.bin, "standalone"),
		[]string{"GATEWAY_ADDR=" + addr, "DATA_DIR=" + filepath.Join(b.dir, "standalone"), "LOG_LEVEL=warn"})
	if err != nil {
		return cell{}, err
	}
	defer p.stop()
	if err := p.answering(ctx, "http://"+addr+publicRoute); err != nil {
		return cell{}, err
	}
	took := time.Since(began)
	return cell{Requests: 1, Took: took, CPU: cpuOf([]int{p.pid()}), Memory: memoryOf([]int{p.pid()})}, nil
}

// idleGroup measures the memory of the four services without requests.
func idleGroup() group {
	return group{name: "idle", title: "Memory of the idle services",
		prepare: func(_ context.Context, b *bench) (plan, error) {
			const all = "gateway + users-svc + vault-svc + activity-svc"
			var subjects []subject
			for _, s := range []struct {
				name string
				pids []int
			}{
				{all, []int{b.product.gateway.pid(), b.product.users.pid(), b.product.vault.pid(),
					b.product.activity.pid()}},
				{"gateway", []int{b.product.gateway.pid()}}, {"users-svc", []int{b.product.users.pid()}},
				{"vault-svc", []int{b.product.vault.pid()}}, {"activity-svc", []int{b.product.activity.pid()}},
			} {
				subjects = append(subjects,
					subject{name: s.name, servers: s.pids, once: true,
						measure: func(ctx context.Context) (cell, error) {
							if s.name == all {
								sleep(ctx, idleWait)
							}
							return cell{Memory: memoryOf(s.pids)}, ctx.Err()
						}})
			}
			const limit = 120 << 20
			return plan{base: all, subjects: subjects, targets: []target{{
				what: fmt.Sprintf("idle memory of the four services, limit %d MB", limit>>20), subject: all,
				figure: metric{"memory", func(c cell) float64 { return float64(c.Memory) }},
				bound:  1, limit: limit, write: megabytes,
			}}}, nil
		}}
}

// idleWait lets the services finish their start.
const idleWait = 3 * time.Second
