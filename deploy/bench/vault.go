package main

import (
	"context"
	"fmt"
	"strings"
)

// Subjects of the vault rows that targets name.
const (
	vaultGet      = "vault GET through the gateway"
	vaultPut      = "vault PUT through the gateway"
	pocketbaseGet = "PocketBase: GET one record by id"
	pocketbasePut = "PocketBase: PATCH one record"
	vaultAlone    = "vault GET, vault-svc alone"
	selectAlone   = "pgx: the same row by its key, no HTTP"
	selectServed  = "fasthttp + pgx: the same row as JSON"
	fewAlone      = vaultAlone + ", few clients"
	fewSelect     = selectAlone + ", few clients"
	vaultConns    = 16
)

// vaultValue is the stored value: 256 bytes, a typical size of a secret.
func vaultValue() string { return strings.Repeat("s3cret-", 37)[:256] }

// vaultGroup compares the vault behind the gateway with PocketBase. Callers use tokens to access
// their own value, by key or id.
func vaultGroup() group {
	return group{name: "vault", title: "Reading and writing one value", prepare: prepareVault}
}

func prepareVault(ctx context.Context, b *bench) (plan, error) {
	p := plan{notes: []string{
		fmt.Sprintf("%d connections, each with an account of its own; the value has 256 bytes. Both databases flush "+
			"each commit to disk: SQLite runs with synchronous=FULL in place of PocketBase's NORMAL. PocketBase "+
			"writes its own log of requests, as it comes.",
			vaultConns),
		"CPU and memory are those of gateway, vault-svc and PostgreSQL together, and of PocketBase.",
	}}
	if err := b.fillVault(ctx, vaultConns); err != nil {
		return p, err
	}
	body := fmt.Sprintf(`{"value":%q}`, vaultValue())
	put := func(i int) []request {
		return []request{{method: "PUT", path: vaultRead, header: []string{bearer(b.account(i).token)}, body: body}}
	}
	p.subjects = []subject{
		{name: vaultGet, load: httpLoad(b.product.gateway.addr, vaultConns, b.readValue, 200),
			servers: b.vaultServers()},
		{name: vaultPut, load: httpLoad(b.product.gateway.addr, vaultConns, put, 200), servers: b.vaultServers()},
	}
	base, err := b.startPocketBase(ctx)
	if err != nil {
		b.note("PocketBase is missing: %v.", err)
	} else {
		p.subjects = append(p.subjects,
			subject{name: pocketbaseGet, load: httpLoad(base.addr, vaultConns, base.read, 200),
				servers: []int{base.pid()}},
			subject{name: pocketbasePut, load: httpLoad(base.addr, vaultConns, base.write, 200),
				servers: []int{base.pid()}})
	}
	p.targets = []target{
		{what: "vault GET ÷ PocketBase", subject: vaultGet, baseline: pocketbaseGet, figure: throughput(),
			atLeast: true, bound: 2},
		{what: "vault PUT ÷ PocketBase, both flushing", subject: vaultPut, baseline: pocketbasePut,
			figure: throughput(), atLeast: true, bound: 3},
	}
	return p, nil
}

// readValue returns the request with which account i reads its value.
func (b *bench) readValue(i int) []request {
	return []request{{method: "GET", path: vaultRead, header: []string{bearer(b.account(i).token)}}}
}

// vaultServers returns the processes that serve clients of the vault.
func (b *bench) vaultServers() []int {
	return []int{b.product.gateway.pid(), b.product.vault.pid(), b.backing.postgresPID}
}

// fillVault creates the accounts and writes a value for the first n of them.
func (b *bench) fillVault(ctx context.Context, n int) error {
	if err := b.makeAccounts(ctx); err != nil {
		return err
	}
	c, err := dial(b.product.gateway.addr)
	if err != nil {
		return err
	}
	defer c.close()
	for i := range n {
		_, err := c.call(request{
			method: "PUT", path: vaultRead, header: []string{bearer(b.account(i).token)},
			body: fmt.Sprintf(`{"value":%q}`, vaultValue()),
		}, 200, 201)
		if err != nil {
			return err
		}
	}
	return nil
}

// vaultAloneGroup compares vault-svc with the minimal work: PostgreSQL finding the row.
func vaultAloneGroup() group {
	return group{name: "alone", title: "Reading one value in vault-svc alone", prepare: prepareVaultAlone}
}

func prepareVaultAlone(ctx context.Context, b *bench) (plan, error) {
	p := plan{notes: []string{
		fmt.Sprintf("The first target is as written: the baseline is a loop over pgx without any HTTP, %d "+
			"connections on either side, its CPU time not shown because it runs in the load generator. Clients that "+
			"read at the same time share a statement in vault-svc, so the ratio depends on how many there are: "+
			"\"few clients\" are %d. The second baseline adds what no service can avoid: a fasthttp server that "+
			"does this SELECT and answers JSON.",
			b.options.conns, vaultConns),
	}}
	if err := b.fillVault(ctx, accountCount); err != nil {
		return p, err
	}
	addr, err := b.freeAddr()
	if err != nil {
		return p, err
	}
	served, err := b.role("pgselect", addr, "", "DATABASE_URL="+b.backing.cluster.URL(databaseName))
	if err != nil {
		return p, err
	}
	if err := served.listening(ctx, addr); err != nil {
		return p, err
	}
	alone := func(name string, conns int) subject {
		return subject{
			name: name, servers: []int{b.product.vault.pid(), b.backing.postgresPID},
			fresh: func() (load, error) { return b.vaultAloneLoad(conns) },
		}
	}
	row := func(name string, conns int) subject {
		args := func(i int) []any { return []any{b.account(i).id, "", "bench"} }
		return subject{name: name, servers: []int{b.backing.postgresPID},
			load: selectLoad(b.backing.cluster.URL(databaseName), conns, args)}
	}
	p.subjects = []subject{
		alone(vaultAlone, b.options.conns), row(selectAlone, b.options.conns),
		{
			name: selectServed, servers: []int{served.pid(), b.backing.postgresPID},
			load: httpLoad(addr, b.options.conns, func(i int) []request {
				return []request{{method: "GET", path: "/?key=bench&user=" + b.account(i).id}}
			}, 200),
		},
		alone(fewAlone, vaultConns), row(fewSelect, vaultConns),
	}
	p.targets = []target{
		{what: "vault-svc GET ÷ bare pgx SELECT of the row", subject: vaultAlone, baseline: selectAlone,
			figure: throughput(), atLeast: true, bound: 0.6},
		{what: "vault-svc GET ÷ fasthttp + pgx, no decryption", subject: vaultAlone, baseline: selectServed,
			figure: throughput(), atLeast: true, informative: true},
		{what: "the same of few clients ÷ bare pgx SELECT", subject: fewAlone, baseline: fewSelect,
			figure: throughput(), atLeast: true, informative: true},
	}
	return p, nil
}

// vaultAloneLoad reads values directly from vault-svc, with identities as the gateway signs them,
// which expire after about a minute.
func (b *bench) vaultAloneLoad(conns int) (load, error) {
	identities := make([]string, accountCount)
	for i := range identities {
		var err error
		if identities[i], err = b.identity(b.account(i), "vault-svc"); err != nil {
			return load{}, err
		}
	}
	return httpLoad(b.product.vault.addr, conns, func(i int) []request {
		return []request{{method: "GET", path: vaultRead, header: []string{identities[i%accountCount]}}}
	}, 200), nil
}
