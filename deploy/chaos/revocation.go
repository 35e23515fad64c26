package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const revocationName = "revocation"

// quick is the time within which a revocation must be in force on every gateway, whichever single
// part is broken. slow is the bound if the change can be announced neither through Redis nor
// through NATS while the gateways still find an older copy in Redis. Such a copy lives for 5
// seconds in Redis and for one in a gateway's memory.
const (
	quick = time.Second
	slow  = 6 * time.Second
)

// The timing of a condition: how long credentials are used before the fault, how long the fault
// lasts, and how long credentials are watched after the revocation. The last is longer than any
// copy of a state lives.
const (
	warmUp     = 2300 * time.Millisecond
	faultLasts = 1500 * time.Millisecond
	watchFor   = 8 * time.Second
	askEvery   = 60 * time.Millisecond
)

// condition is a combination of faults during a revocation.
type condition struct {
	name  string
	bound time.Duration
	// before injects the faults, at injects one directly after the acknowledgement, mend ends all.
	before, at, mend func(context.Context) error
}

func (w *world) conditions() []condition {
	nothing := plain(func() error { return nil })
	all := func(steps ...func() error) func(context.Context) error {
		return plain(func() error {
			var failures []error
			for _, f := range steps {
				failures = append(failures, f())
			}
			return errors.Join(failures...)
		})
	}
	var killGateways, startGateways []func() error
	for _, g := range w.gateways {
		killGateways, startGateways = append(killGateways, g.kill), append(startGateways, g.start)
	}
	n := w.nets
	return []condition{
		{"nothing is broken", quick, nothing, nothing, nothing},
		{"Redis killed", quick, plain(w.redis.kill), nothing, plain(w.redis.start)},
		{"Redis held (SIGSTOP)", quick, plain(w.redis.freeze), nothing, plain(w.redis.thaw)},
		{"NATS killed", quick, plain(w.nats.kill), nothing, plain(w.nats.start)},
		{"NATS held (SIGSTOP)", quick, plain(w.nats.freeze), nothing, plain(w.nats.thaw)},
		{"Redis and NATS killed", quick, all(w.redis.kill, w.nats.kill), nothing, all(w.redis.start, w.nats.start)},
		{"network cut to Redis and NATS", quick, cut(true, n.redis, n.redisUsers, n.nats, n.natsUsers), nothing,
			cut(false, n.redis, n.redisUsers, n.nats, n.natsUsers)},
		{"network cut between users-svc and Redis", quick, cut(true, n.redisUsers), nothing, cut(false, n.redisUsers)},
		{"gateways killed at once after it", quick, nothing, all(killGateways...), all(startGateways...)},
		{"users-svc killed at once after it", quick, nothing, plain(w.users.kill), plain(w.users.start)},
		{"NATS killed, users-svc killed at once after it", quick, plain(w.nats.kill), plain(w.users.kill),
			all(w.nats.start, w.users.start)},
		{"Redis held, users-svc killed at once after it", quick, plain(w.redis.freeze), plain(w.users.kill),
			all(w.redis.thaw, w.users.start)},
		{"network cut between users-svc and both Redis and NATS", slow, cut(true, n.redisUsers, n.natsUsers), nothing,
			cut(false, n.redisUsers, n.natsUsers)},
		{"Redis held and NATS killed, users-svc killed at once after it", slow, all(w.redis.freeze, w.nats.kill),
			plain(w.users.kill),
			all(w.redis.thaw, w.nats.start, w.users.start)},
	}
}

// victim is a credential that is revoked, and the observations of it.
type victim struct {
	kind       string
	credential string
	path       string // path that the credential is used for
	refusals   []int  // expected statuses after the revocation
	revoke     request

	mu           sync.Mutex
	asked, acked time.Time
	uses         []use
}

type use struct {
	gateway        int
	sent, answered time.Time
	status         int
}

// revocationKinds are the columns of the table.
func revocationKinds() []string {
	return []string{"ban", "logout by admin", "logout", "password", "session end", "token delete", "token disable"}
}

// prepare creates a user for each kind of revocation, with the session or token to be revoked.
func (w *world) prepare(round int, admin account) ([]*victim, error) {
	var out []*victim
	c := newClient(0, w.gateways[0].addr)
	for i, kind := range revocationKinds() {
		email := fmt.Sprintf("revoked-%d-%d@example.com", round, i)
		actor, err := signUp(c, email)
		if err != nil {
			return nil, err
		}
		other, err := signIn(c, email, accountPassword)
		if err != nil {
			return nil, err
		}
		v := &victim{kind: kind, credential: other.token, path: "/api/v1/vault/keys", refusals: []int{401}}
		v.revoke, err = revocationOf(c, v, admin, actor, other)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// revocationOf returns the request that revokes v. If v is a token, it creates it first.
func revocationOf(c *client, v *victim, admin, actor, other account) (request, error) {
	own := request{token: actor.token}
	switch v.kind {
	case "ban":
		v.refusals = []int{403}
		return request{method: "POST", path: "/api/v1/users/" + actor.id + "/ban", token: admin.token,
			body: `{"reason":"chaos"}`}, nil
	case "logout by admin":
		return request{method: "POST", path: "/api/v1/users/" + actor.id + "/logout", token: admin.token}, nil
	case "logout":
		own.method, own.path = "POST", "/api/v1/users/auth/logout"
	case "password":
		own.method, own.path = "PATCH", "/api/v1/users/"+actor.id
		own.body = fmt.Sprintf(`{"password":"another-Horse-8","current_password":%q}`, accountPassword)
	case "session end":
		id, err := sessionOf(other.token)
		own.method, own.path = "DELETE", "/api/v1/users/me/sessions/"+id
		return own, err
	default:
		var made struct{ ID, Token string }
		err := c.call(request{method: "POST", path: "/api/v1/auth/tokens", token: actor.token,
			body: `{"alias":"chaos","permission_template":"full_access","vault_access":true}`}, &made)
		v.credential = made.Token
		own.method, own.path = "DELETE", "/api/v1/auth/tokens/"+made.ID
		if v.kind == "token disable" {
			own.method, own.body = "PATCH", `{"is_enabled":false}`
		}
		return own, err
	}
	return own, nil
}

// sessionOf reads the session id of an access token.
func sessionOf(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("the access token is no JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	var claims struct{ Sid string }
	err = json.Unmarshal(raw, &claims)
	return claims.Sid, err
}

// revocation measures every kind of revocation under every condition.
func (w *world) revocation(ctx context.Context) ([]revocationRow, error) {
	c := newClient(0, w.gateways[0].addr)
	admin, err := signIn(c, w.adminEmail, w.adminPassword)
	if err != nil {
		return nil, err
	}
	var rows []revocationRow
	for round, cond := range w.conditions() {
		w.say("revocation: %s", cond.name)
		victims, err := w.prepare(round, admin)
		if err != nil {
			return nil, fmt.Errorf("%s: prepare: %w", cond.name, err)
		}
		if err := w.revokeUnder(ctx, cond, victims); err != nil {
			return nil, fmt.Errorf("%s: %w", cond.name, err)
		}
		rows = append(rows, judgeRevocations(cond, victims, len(w.gateways)))
		for _, p := range []part{w.redis, w.nats, w.users, w.gateways[0], w.gateways[1], w.gateways[2]} {
			if err := p.ready(ctx); err != nil {
				return nil, err
			}
		}
	}
	return rows, ctx.Err()
}

// revokeUnder uses the credentials on every gateway all the time, and revokes them under the
// condition.
func (w *world) revokeUnder(ctx context.Context, cond condition, victims []*victim) error {
	using, stop := context.WithCancel(ctx)
	defer stop()
	var users sync.WaitGroup
	for n, v := range victims {
		for i, g := range w.gateways {
			c := newClient(i, g.addr)
			// The starts are spread over a second, so that copies in the gateways' memory are of
			// every age at the time of the revocation.
			later := time.Duration(n*len(w.gateways)+i) * time.Second / time.Duration(len(victims)*len(w.gateways))
			users.Go(func() {
				pause(using, later)
				each(using, askEvery, func() { v.use(c) })
			})
		}
	}
	pause(ctx, warmUp)
	err := cond.before(ctx)
	pause(ctx, 200*time.Millisecond)
	var revokers sync.WaitGroup
	failures := make([]error, len(victims))
	for i, v := range victims {
		revokers.Go(func() {
			asked := time.Now()
			failures[i] = newClient(0, w.gateways[0].addr).call(v.revoke, nil)
			v.mu.Lock()
			defer v.mu.Unlock()
			v.asked, v.acked = asked, time.Now()
		})
	}
	revokers.Wait()
	revoked := time.Now()
	err = errors.Join(err, errors.Join(failures...), cond.at(ctx))
	pause(ctx, time.Until(revoked.Add(faultLasts)))
	err = errors.Join(err, cond.mend(context.WithoutCancel(ctx)))
	pause(ctx, time.Until(revoked.Add(watchFor)))
	stop()
	users.Wait()
	return err
}

func (v *victim) use(c *client) {
	sent := time.Now()
	got := c.send(request{method: "GET", path: v.path, token: v.credential, agent: "chaos"})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.uses = append(v.uses, use{c.index, sent, time.Now(), got.status})
}

// revocationRow has the measurements of one condition.
type revocationRow struct {
	condition string
	bound     time.Duration
	// worst is how long after the acknowledgement the last accepted request was sent, by kind of
	// revocation; 0 if none was accepted.
	worst    map[string]time.Duration
	refused  int // answers of 503, given because the gateway could not know
	breaches []breach
}

const (
	ruleRevoked rule = "a revocation is in force on every gateway within the stated time"
	ruleKnown   rule = "a credential is good until it is revoked, and then refused for what it is"
)

// judgeRevocations finds the last accepted request of each revoked credential.
func judgeRevocations(cond condition, victims []*victim, gateways int) revocationRow {
	row := revocationRow{condition: cond.name, bound: cond.bound, worst: map[string]time.Duration{}}
	for _, v := range victims {
		row.judge(v, gateways)
	}
	return row
}

func (row *revocationRow) judge(v *victim, gateways int) {
	good, refused := make([]int, gateways), make([]int, gateways)
	for _, u := range v.uses {
		after := u.sent.Sub(v.acked)
		switch {
		case u.status == 503:
			row.refused++
		case u.status == 0:
		case u.status == 200:
			good[u.gateway]++
			row.worst[v.kind] = max(row.worst[v.kind], after)
			if after > row.bound {
				row.tell(u.sent, ruleRevoked, "%s, %s: let in by gateway %d %v after it", row.condition, v.kind,
					u.gateway+1, after.Round(time.Millisecond))
			}
		case isOne(u.status, v.refusals):
			refused[u.gateway]++
			if u.answered.Before(v.asked) {
				row.tell(u.sent, ruleKnown, "%s, %s: refused by gateway %d before it", row.condition, v.kind,
					u.gateway+1)
			}
		default:
			row.tell(u.sent, ruleKnown, "%s, %s: gateway %d answered %d", row.condition, v.kind, u.gateway+1, u.status)
		}
	}
	for i := range gateways {
		if good[i] == 0 || refused[i] == 0 {
			row.tell(v.acked, ruleKnown, "%s, %s: gateway %d let it in %d times before and refused it %d times after",
				row.condition, v.kind, i+1, good[i], refused[i])
		}
	}
}

func (row *revocationRow) tell(at time.Time, r rule, format string, v ...any) {
	row.breaches = append(row.breaches, breach{at, r, fmt.Sprintf(format, v...)})
}

func isOne(n int, of []int) bool {
	for _, o := range of {
		if n == o {
			return true
		}
	}
	return false
}

func (r *report) revocationTable(b *strings.Builder) {
	fmt.Fprintf(b, "How long after its acknowledgement a revoked credential was let in for the last time, on the "+
		"slowest of three gateways, each asked every %v while what is broken is broken for %v and for %v in all. "+
		"503: because the gateway could not know.\n\n| broken at that moment | %s | at most | refused (503) "+
		"|\n|---|%s--:|--:|\n",
		askEvery, faultLasts, watchFor, strings.Join(revocationKinds(), " | "),
		strings.Repeat("--:|", len(revocationKinds())))
	for _, row := range r.revocations {
		fmt.Fprintf(b, "| %s |", row.condition)
		for _, kind := range revocationKinds() {
			if d := row.worst[kind]; d > 0 {
				fmt.Fprintf(b, " %d ms |", d.Milliseconds())
			} else {
				b.WriteString(" at once |")
			}
		}
		fmt.Fprintf(b, " %v | %d |\n", row.bound, row.refused)
	}
}
