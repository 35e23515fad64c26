package main

import (
	"context"
	"path/filepath"
)

// Subjects of the forwarding rows that targets name.
const (
	directName  = "no proxy: the upstream itself"
	fullName    = "gateway: JWT, session state, limit, event"
	storedName  = "gateway: the same, its events stored meanwhile"
	publicName  = "gateway: a public route, nothing to check or record"
	vaultRead   = "/api/v1/vault/keys/bench"
	publicRoute = "/api/v1/auth/config"
)

// forwardGroup compares the gateway with plain forwarders. All of them forward to the same
// upstream, which answers with 1 KB of JSON.
func forwardGroup() group {
	return group{name: "forward", title: "Forwarding a request of 1 KB of JSON", prepare: prepareForward}
}

func prepareForward(ctx context.Context, b *bench) (plan, error) {
	p := plan{notes: []string{
		"\"The same gateway forwarding bare\" is a public route of the gateway: no token, no session state, no " +
			"limit, no event, and all that every request of it has: its id, its metrics, its deadlines, the rules " +
			"for headers, the bound of an overload. A forwarder of the same libraries that has nothing of this " +
			"either (" + bareName + ") is shown for comparison: what is left to it is what the kernel and HTTP cost.",
		"\"" + fullName + "\" forwards to the same fixed upstream as everybody; its session states come from " +
			"users-svc, its limits from Redis, its events are written to the journal and shipped to JetStream, on " +
			"the same CPUs. activity-svc stands still meanwhile, except in the row \"" + storedName +
			"\": it would run on another machine, and the target is about the gateway.",
		"CPU and memory are those of the forwarder's own processes.",
	}}
	if err := b.makeAccounts(ctx); err != nil {
		return p, err
	}
	addr, err := b.freeAddr()
	if err != nil {
		return p, err
	}
	upstream, err := b.role("upstream", addr, "")
	if err != nil {
		return p, err
	}
	if err := upstream.listening(ctx, addr); err != nil {
		return p, err
	}
	plain := func(int) []request { return []request{{method: "GET", path: vaultRead}} }
	p.subjects = append(p.subjects,
		subject{name: directName, load: httpLoad(addr, b.options.conns, plain, 200), servers: []int{upstream.pid()}})
	for _, peer := range peers() {
		if !b.options.subjects.MatchString(peer.name) {
			continue
		}
		s, err := b.startPeer(ctx, peer, addr, plain)
		if err != nil {
			b.note("%s is missing: %v.", peer.name, err)
			continue
		}
		p.subjects = append(p.subjects, s)
	}
	gateways, err := b.gatewaysBefore(ctx, addr)
	p.subjects = append(p.subjects, gateways...)
	p.targets = forwardTargets()
	return p, err
}

func (b *bench) startPeer(ctx context.Context, peer peer, upstream string, requests func(int) []request) (subject,
	error) {
	addr, err := b.freeAddr()
	if err != nil {
		return subject{}, err
	}
	server, err := peer.start(ctx, b, filepath.Join(b.dir, "peer-"+filepath.Base(peer.name)), addr, upstream)
	if err != nil {
		return subject{}, err
	}
	s := subject{name: peer.name, load: httpLoad(addr, b.options.conns, requests, 200), servers: []int{server.pid()}}
	return s, server.answering(ctx, "http://"+addr+vaultRead)
}

// gatewaysBefore starts two gateways: one uses the fixed upstream as vault-svc, the other as
// users-svc.
func (b *bench) gatewaysBefore(ctx context.Context, upstream string) ([]subject, error) {
	full, err := b.startGateway(ctx, "gateway-full", b.product.users.addr, upstream)
	if err != nil {
		return nil, err
	}
	load := httpLoad(full.addr, b.options.conns, b.readValue, 200)
	subjects := []subject{
		{
			name: fullName, load: load, servers: []int{full.pid()},
			before: func(context.Context) error { return b.product.activity.freeze() },
			after:  func(context.Context) error { return b.product.activity.thaw() },
		},
		{name: storedName, load: load, servers: []int{full.pid()}},
	}
	public, err := b.startService(ctx, "gateway", "gateway-public", "GATEWAY_ADDR",
		"JOURNAL_DIR="+filepath.Join(b.dir, "journal-public"),
		"USERS_URL=http://"+upstream, "VAULT_URL=http://"+upstream, "ACTIVITY_URL=http://"+upstream, "RATE_LIMIT_ADDRESS=off")
	if err != nil {
		b.note("the public route was not measured: %v.", err)
		return subjects, nil
	}
	anonymous := func(int) []request { return []request{{method: "GET", path: publicRoute}} }
	return append(subjects, subject{name: publicName, load: httpLoad(public.addr, b.options.conns, anonymous, 200),
		servers: []int{public.pid()}}), nil
}

func forwardTargets() []target {
	versus := func(baseline string, bound float64) target {
		return target{what: "gateway, all checks ÷ " + baseline, subject: fullName, baseline: baseline,
			figure: throughput(), atLeast: true, bound: bound}
	}
	return []target{
		{what: "gateway, all checks ÷ its own public route, bare", subject: fullName, baseline: publicName,
			figure: throughput(), atLeast: true, bound: 0.80},
		versus("net/http ReverseProxy", 1.8), versus("Caddy", 2.8), versus("HAProxy", 0.65), versus("nginx", 0.6),
		{what: "CPU time of the gateway ÷ of " + bareName, subject: fullName, baseline: bareName, figure: cpuTime(),
			informative: true},
		{what: "gateway, all checks ÷ " + bareName, subject: fullName, baseline: bareName, figure: throughput(),
			atLeast: true, informative: true},
		{what: "its own public route ÷ " + bareName, subject: publicName, baseline: bareName, figure: throughput(),
			atLeast: true, informative: true},
		{what: bareName + " ÷ Caddy", subject: bareName, baseline: "Caddy", figure: throughput(), atLeast: true,
			informative: true},
		{what: "with the events stored meanwhile ÷ " + bareName, subject: storedName, baseline: bareName,
			figure: throughput(), atLeast: true, informative: true},
	}
}
