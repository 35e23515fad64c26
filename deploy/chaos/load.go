package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load runs the clients of a run: a mixture of reads and writes at a steady rate, sent in turn to
// the gateways in the rotation.
type load struct {
	ledger   *ledger
	clients  []*client // of all gateways
	rotation atomic.Pointer[[]*client]
	turn     atomic.Uint64
	accounts []account
	// refresher is the account whose session is refreshed all the time.
	refresher account
	names     atomic.Uint64 // of keys
	cancel    context.CancelFunc
	running   sync.WaitGroup
}

const (
	workers      = 32
	accountCount = 8
	itemsEach    = 10 // live keys of one worker
	realmCount   = 2
)

// newLoad creates the accounts.
func newLoad(l *ledger, gateways []*instance) (*load, error) {
	d := &load{ledger: l}
	for i, g := range gateways {
		d.clients = append(d.clients, newClient(i, g.addr))
	}
	for i := range accountCount + 1 {
		a, err := signUp(d.clients[0], fmt.Sprintf("chaos-%d@example.com", i))
		if err != nil {
			return nil, err
		}
		d.accounts = append(d.accounts, a)
	}
	d.refresher, d.accounts = d.accounts[accountCount], d.accounts[:accountCount]
	d.rotate(0, 1)
	return d, nil
}

// rotate sets the gateways that receive requests from now on.
func (d *load) rotate(indices ...int) {
	var old []*client
	if r := d.rotation.Load(); r != nil {
		old = *r
	}
	next := make([]*client, 0, len(indices))
	for _, i := range indices {
		next = append(next, d.clients[i])
		if !slices.Contains(old, d.clients[i]) {
			d.clients[i].http.CloseIdleConnections() // they may belong to a process that has stopped
		}
	}
	d.rotation.Store(&next)
}

// client returns the client of the next gateway.
func (d *load) client() *client {
	all := *d.rotation.Load()
	return all[d.turn.Add(1)%uint64(len(all))]
}

// start sends rate requests a second until stop.
func (d *load) start(ctx context.Context, rate int) {
	ctx, d.cancel = context.WithCancel(ctx)
	every := time.Duration(workers) * time.Second / time.Duration(rate)
	for i := range workers {
		w := &worker{load: d, account: i % accountCount, random: rand.New(rand.NewPCG(uint64(i), 7))}
		d.running.Go(func() {
			pause(ctx, every*time.Duration(i)/workers)
			each(ctx, every, w.step)
		})
	}
	d.running.Go(func() { each(ctx, time.Second, d.renew) })
}

// stop ends the load and waits for outstanding answers.
func (d *load) stop() {
	d.cancel()
	d.running.Wait()
}

// each calls f once a period, or at once after the previous call if that took longer.
func each(ctx context.Context, period time.Duration, f func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for ctx.Err() == nil {
		f()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// realm returns the name of one of the accounts' realms; the first is the global one.
func realm(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprintf("%024x", 0xc0ffee+i)
}

// send sends a request and enters it into the ledger.
func (d *load) send(who *account, method, path, realm, body string) (*attempt, answer) {
	c := d.client()
	user, token := "", ""
	if who != nil {
		user, token = who.id, who.token
	}
	query := ""
	if realm != "" {
		query = "realm_id=" + realm
	}
	a := d.ledger.begin(user, method, path, realm, c.index)
	got := c.send(request{method: method, path: path, query: query, token: token, body: body, agent: a.agent()})
	d.ledger.end(a, got.status, got.code())
	return a, got
}

// worker is one client with keys of its own.
type worker struct {
	load    *load
	account int
	random  *rand.Rand
	items   []*item
}

// step makes the next request of the mixture.
func (w *worker) step() {
	who := &w.load.accounts[w.account]
	switch n := w.random.IntN(100); {
	case n < 32:
		w.write(who)
	case n < 37:
		w.remove(who)
	case n < 67:
		w.read(who)
	case n < 75:
		w.expect(who, "/api/v1/vault/keys", realm(w.random.IntN(realmCount+1)))
	case n < 80:
		w.expect(who, "/api/v1/vault/stats", realm(w.random.IntN(realmCount+1)))
	case n < 88:
		w.expect(who, "/api/v1/users/me", "")
	case n < 93:
		w.expect(who, "/api/v1/users/auth/activity", "")
	case n < 96:
		w.expect(who, "/api/v1/realms", "")
	default:
		w.expect(nil, "/api/v1/auth/config", "")
	}
}

// expect makes a request that must be answered with 200 unless a fault is active.
func (w *worker) expect(who *account, path, realm string) {
	a, _ := w.load.send(who, "GET", path, realm, "")
	if !a.failed() && a.status != 200 {
		w.load.ledger.breach(ruleAnswers, "GET %s: %d %s", path, a.status, a.code)
	}
}

// pick returns one of the worker's keys, a new one now and then.
func (w *worker) pick() *item {
	if len(w.items) < itemsEach && (len(w.items) == 0 || w.random.IntN(3) == 0) {
		name := fmt.Sprintf("k%d", w.load.names.Add(1))
		w.items = append(w.items, w.load.ledger.newItem(w.account, realm(w.random.IntN(realmCount+1)), name))
		return w.items[len(w.items)-1]
	}
	return w.items[w.random.IntN(len(w.items))]
}

func (it *item) path() string { return "/api/v1/vault/keys/" + it.key }

func (w *worker) write(who *account) {
	it := w.pick()
	size := 20 + w.random.IntN(400)
	if w.random.IntN(20) == 0 {
		size = 20_000
	}
	v := version{number: int(w.load.names.Add(1)), size: size}
	body, _ := json.Marshal(map[string]string{"value": v.value()}) // a map of strings can always be encoded
	method := [2]string{"PUT", "PATCH"}[w.random.IntN(2)]
	a, _ := w.load.send(who, method, it.path(), it.realm, string(body))
	w.wrote(it, v, a)
}

func (w *worker) remove(who *account) {
	it := w.pick()
	a, _ := w.load.send(who, "DELETE", it.path(), it.realm, "")
	w.wrote(it, version{gone: true}, a)
}

// wrote processes the answer to a write. The worker stops using a key whose state is in doubt.
func (w *worker) wrote(it *item, v version, a *attempt) {
	w.load.ledger.wrote(it, v, a)
	if it.doubt == nil {
		return
	}
	for i, other := range w.items {
		if other == it {
			w.items = append(w.items[:i], w.items[i+1:]...)
			return
		}
	}
}

func (w *worker) read(who *account) {
	it := w.pick()
	a, got := w.load.send(who, "GET", it.path(), it.realm, "")
	var found struct{ Value string }
	if a.status == 200 {
		if err := got.data(&found); err != nil {
			w.load.ledger.breach(ruleAnswers, "GET %s: %v", it.path(), err)
			return
		}
	}
	w.load.ledger.read(it, a, found.Value)
}

// renew trades the refresh token of the refresher for a new pair. Without an answer it retries with
// the same token, as clients do: the token must stay valid for a minute.
func (d *load) renew() {
	a, got := d.send(nil, "POST", "/api/v1/users/auth/refresh", "", `{"refreshToken":"`+d.refresher.refresh+`"}`)
	if a.failed() {
		return
	}
	var t tokens
	if a.status != 200 || got.data(&t) != nil || t.RefreshToken == "" {
		d.ledger.breach(ruleRefresh, "refresh: %d %s", a.status, a.code)
		if again, err := signIn(d.client(), d.refresher.email, accountPassword); err == nil {
			d.refresher = again
		}
		return
	}
	d.refresher.token, d.refresher.refresh = t.Token, t.RefreshToken
	if me, _ := d.send(&d.refresher, "GET", "/api/v1/users/me", "", ""); !me.failed() && me.status != 200 {
		d.ledger.breach(ruleRefresh, "the fresh token: %d %s", me.status, me.code)
	}
}

// keyOf joins a realm and a key into a map key.
func keyOf(realm, key string) string { return strings.Join([]string{realm, key}, "/") }
