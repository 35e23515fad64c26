package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencyGroup measures how long after the answer a request appears in the log, at half of the
// product's maximum load.
func latencyGroup() group {
	const full, half = "vault GET through the gateway, as many as it can", "from the answer to the log, at half of that"
	return group{name: "lag", title: "From the answer to the log",
		prepare: func(ctx context.Context, b *bench) (plan, error) {
			if err := b.fillVault(ctx, accountCount); err != nil {
				return plan{}, err
			}
			servers := []int{b.product.gateway.pid(), b.product.vault.pid(), b.product.activity.pid(),
				b.backing.postgresPID, b.backing.nats.pid()}
			get := httpLoad(b.product.gateway.addr, vaultConns, b.readValue, 200)
			var most float64
			seconds := time.Duration(b.options.seconds * float64(time.Second))
			return plan{
				subjects: []subject{
					{name: full, servers: servers, measure: func(ctx context.Context) (cell, error) {
						c, err := get.run(ctx, seconds/4, seconds, func(bool) {})
						most = c.rate()
						return c, err
					}},
					{name: half, servers: servers, measure: func(ctx context.Context) (cell, error) {
						if most == 0 {
							return cell{}, fmt.Errorf("the maximum is not known")
						}
						background := get
						background.rate = most / 2
						return b.probeLatency(ctx, background, latencyTimes*seconds)
					}},
				},
				targets: []target{{
					what: "p99 of the lag at half of the maximum load, limit 250 ms", subject: half, figure: p99(),
					bound: 1,
					limit: float64(250 * time.Millisecond),
					write: func(v float64) string { return short(time.Duration(v)) },
				}},
				notes: []string{fmt.Sprintf("%d clients send a DELETE of a key that is not there and ask "+
					"activity-svc for it every %s until it is in their log; the lag counts from the answer to the "+
					"first page that shows it.", probers, probeEvery)},
			}, nil
		}}
}

const (
	latencyTimes   = 8 // multiplies a cell's time: few latencies are measured in a second
	probers        = 2 // few, because their queries cost more than the requests whose lag they measure
	probeEvery     = 10 * time.Millisecond
	longestLatency = 20 * time.Second
)

// probeLatency measures latencies during the load.
func (b *bench) probeLatency(ctx context.Context, background load, seconds time.Duration) (cell, error) {
	probing, stop := context.WithCancel(ctx)
	defer stop()
	latencies := make([]*hdrhistogram.Histogram, probers)
	failures := make([]error, probers)
	var all sync.WaitGroup
	began := time.Now()
	_, err := background.run(ctx, seconds/4, seconds, func(begin bool) {
		if !begin {
			stop()
			return
		}
		for i := range probers {
			all.Go(func() { latencies[i], failures[i] = b.probe(probing, i) })
		}
	})
	all.Wait()
	if err != nil {
		return cell{}, err
	}
	sum := hdrhistogram.New(lowestLatency, highestLatency, latencyDigits)
	for i := range probers {
		if failures[i] != nil {
			return cell{}, failures[i]
		}
		sum.Merge(latencies[i])
	}
	return cell{
		Requests: sum.TotalCount(), Took: time.Since(began),
		P50: time.Duration(sum.ValueAtQuantile(50)) * time.Microsecond,
		P99: time.Duration(sum.ValueAtQuantile(99)) * time.Microsecond,
	}, nil
}

// probe sends requests one after another and waits until each is in the log.
func (b *bench) probe(ctx context.Context, i int) (*hdrhistogram.Histogram, error) {
	latencies := hdrhistogram.New(lowestLatency, highestLatency, latencyDigits)
	who := b.account(i)
	identity, err := b.identity(who, "activity-svc")
	if err != nil {
		return nil, err
	}
	door, err := dial(b.product.gateway.addr)
	if err != nil {
		return nil, err
	}
	defer door.close()
	log, err := dial(b.product.activity.addr)
	if err != nil {
		return nil, err
	}
	defer log.close()
	for n := 0; ctx.Err() == nil; n++ {
		path := fmt.Sprintf("/api/v1/vault/keys/probe-%d-%d", time.Now().UnixNano(), n)
		if _, err := door.call(request{method: "DELETE", path: path, header: []string{bearer(who.token)}},
			404); err != nil {
			return nil, err
		}
		answered := time.Now()
		for {
			page, err := log.call(request{method: "GET", path: "/api/v1/users/auth/activity?method=DELETE&limit=3",
				header: []string{identity}}, 200)
			if err != nil {
				return nil, err
			}
			if bytes.Contains(page, []byte(path)) {
				// It fails only for values out of range, which longestLatency prevents.
				_ = latencies.RecordValue(time.Since(answered).Microseconds())
				break
			}
			if time.Since(answered) > longestLatency {
				return nil, fmt.Errorf("%s is not in the log after %s", path, longestLatency)
			}
			time.Sleep(probeEvery)
		}
	}
	return latencies, nil
}
