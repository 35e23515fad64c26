package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/id"
)

// growthTable has the cost of each operation at each size.
type growthTable struct{ rows []growthRow }

// growthRow is an operation at one size of one thing.
type growthRow struct {
	thing     string
	size      int
	operation string
	took      time.Duration
	bytes     int      // size of the answer
	plan      []string // nodes of the plans that PostgreSQL used
}

// growthGroup measures how costs grow with the number of users, log rows and keys of a vault.
func growthGroup() group {
	return group{name: "growth", title: "How cost grows", asked: true,
		prepare: func(ctx context.Context, b *bench) (plan, error) {
			t := &growthTable{}
			for _, f := range []func(context.Context, *bench) error{t.growVault, t.growUsers, t.growLog} {
				if err := f(ctx, b); err != nil && len(t.rows) > 0 {
					b.note("The largest sizes of the table of growth were not measured: %v.", err)
					break
				} else if err != nil {
					return plan{}, err
				}
			}
			return plan{growth: t, notes: []string{
				"Each operation alone over one connection to its service: the time that a tenth of " +
					fmt.Sprint(growthRepeats) +
					" answers stayed below, because the slower ones say " +
					"more of what else the machine did. The plans are those of the statements that " +
					"the service really sent, from PostgreSQL's auto_explain. \"Faster than its answer\": the time " +
					"grew more than three times as much as the bytes of the answer from the smallest size to the " +
					"largest.",
			}}, nil
		}}
}

// The number of measured answers, and of unmeasured ones before them that fill caches and prepare
// statements.
const (
	growthRepeats = 100
	growthWarmUp  = 10
)

// operation is a request whose cost is measured.
type operation struct {
	name string
	request
	want []int
}

// measure times operations at one size and collects their plans.
func (t *growthTable) measure(ctx context.Context, b *bench, addr, thing string, size int,
	operations []operation) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.close()
	for _, o := range operations {
		b.say("growth: %s, %d: %s", thing, size, o.name)
		var times []time.Duration
		var answer []byte
		for i := range growthRepeats + growthWarmUp {
			began := time.Now()
			if answer, err = c.call(o.request, o.want...); err != nil {
				return err
			}
			if i >= growthWarmUp {
				times = append(times, time.Since(began))
			}
		}
		slices.Sort(times)
		row := growthRow{thing: thing, size: size, operation: o.name, took: times[len(times)/10], bytes: len(answer)}
		if row.plan, err = b.plansOf(ctx,
			func() error { _, err := c.call(o.request, o.want...); return err }); err != nil {
			return err
		}
		t.rows = append(t.rows, row)
	}
	return nil
}

// plansOf returns the plan nodes of the statements that f causes, each once, in order.
func (b *bench) plansOf(ctx context.Context, f func() error) ([]string, error) {
	url := b.backing.cluster.URL(databaseName)
	if err := explainAll(ctx, url, true); err != nil {
		return nil, nil // PostgreSQL without auto_explain
	}
	// The periodic statements of activity-svc do not belong to f.
	if err := b.product.activity.freeze(); err != nil {
		return nil, err
	}
	b.backing.said.listen(true)
	err := f()
	time.Sleep(100 * time.Millisecond) // PostgreSQL writes its log after the answer
	lines := b.backing.said.listen(false)
	return planNodes(lines), errors.Join(err, b.product.activity.thaw(), explainAll(ctx, url, false))
}

// planNodes finds the plan nodes in auto_explain's text format.
func planNodes(lines []string) []string {
	node := regexp.MustCompile(`^\s*(?:->\s+)?([A-Z][A-Za-z -]*?)(?: using (\S+))?(?: on (\S+))?(?: \S+)?\s+\(cost=`)
	var all []string
	for _, line := range lines {
		m := node.FindStringSubmatch(strings.TrimPrefix(line, "PostgreSQL: "))
		if m == nil {
			continue
		}
		name := m[1]
		if on := cmpOr(m[2], m[3]); on != "" {
			name += " " + regexp.MustCompile(`_\d{8}`).ReplaceAllString(on, "_<day>")
		}
		if !slices.Contains(all, name) && m[1] != "Result" && m[1] != "ProjectSet" {
			all = append(all, name)
		}
	}
	return all
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// steps returns the sizes from low to high, each by times the previous.
func steps(low, high, by int) []int {
	var all []int
	for n := low; n < high; n *= by {
		all = append(all, n)
	}
	return append(all, high)
}

func (t *growthTable) growVault(ctx context.Context, b *bench) error {
	who := account{id: id.New(time.Now())}
	filled := 0
	for _, size := range steps(1, 10_000, 100) {
		identity, err := b.identity(who, "vault-svc")
		if err != nil {
			return err
		}
		if err := b.putKeys(ctx, identity, filled, size); err != nil {
			return err
		}
		filled = size
		if err := fillOtherVaults(ctx, b.backing.cluster.URL(databaseName), who.id); err != nil {
			return err
		}
		call := func(method, path, body string) request {
			return request{method: method, path: "/api/v1/vault" + path, body: body, header: []string{identity}}
		}
		const last = "/keys/key-0"
		err = t.measure(ctx, b, b.product.vault.addr, "keys in a vault", size, []operation{
			{"read one", call("GET", last, ""), []int{200}},
			{"overwrite one", call("PUT", last, `{"value":"changed"}`), []int{200}},
			{"stats", call("GET", "/stats", ""), []int{200}}, {"list all", call("GET", "/keys", ""), []int{200}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// putKeys writes the keys numbered from begin to end over several connections.
func (b *bench) putKeys(ctx context.Context, identity string, begin, end int) error {
	var requests [][]request
	const writers = 8
	for w := range writers {
		var mine []request
		for i := begin + w; i < end; i += writers {
			mine = append(mine, request{method: "PUT", path: fmt.Sprintf("/api/v1/vault/keys/key-%d", i),
				header: []string{identity}, body: `{"value":"a value of forty bytes, more or less"}`})
		}
		requests = append(requests, mine)
	}
	failures := make(chan error, writers)
	for _, mine := range requests {
		go func() {
			c, err := dial(b.product.vault.addr)
			for i := 0; i < len(mine) && err == nil && ctx.Err() == nil; i++ {
				_, err = c.call(mine[i], 200, 201)
			}
			if c != nil {
				c.close()
			}
			failures <- err
		}()
	}
	var first error
	for range writers {
		if err := <-failures; first == nil {
			first = err
		}
	}
	return first
}

func (t *growthTable) growUsers(ctx context.Context, b *bench) error {
	if err := b.makeAccounts(ctx); err != nil {
		return err
	}
	for _, size := range steps(1000, max(1000, b.options.growthUsers), 10) {
		if err := addUsers(ctx, b.backing.cluster.URL(databaseName), size); err != nil {
			return err
		}
		identity, err := b.signedIdentity(b.account(0), "users-svc", true)
		if err != nil {
			return err
		}
		call := func(method, path, body string) request {
			return request{method: method, path: "/api/v1" + path, body: body, header: []string{identity}}
		}
		login, err := json.Marshal(map[string]string{"email": b.account(1).email, "password": accountPassword})
		if err != nil {
			return err
		}
		err = t.measure(ctx, b, b.product.users.addr, "users", size, []operation{
			{"read one", call("GET", "/users/"+b.account(0).id, ""), []int{200}},
			{"log in", call("POST", "/users/auth/login", string(login)), []int{200}},
			{"admin: first page", call("GET", "/users?limit=20", ""), []int{200}},
			{"admin: last page", call("GET", fmt.Sprintf("/users?limit=20&page=%d", size/20), ""), []int{200}},
			{"admin: the banned", call("GET", "/users?limit=20&is_banned=true", ""), []int{200}},
			{"admin: search, one found", call("GET", "/users?limit=20&q=grown-77%40", ""), []int{200}},
			{"admin: search, all match", call("GET", "/users?limit=20&q=example.com", ""), []int{200}},
			{"admin: search for a character", call("GET", "/users?limit=20&q=7", ""), []int{200}},
			{"admin: search for two, none found", call("GET", "/users?limit=20&q=zq", ""), []int{200}},
			{"change one", call("PATCH", "/users/"+b.account(0).id, `{"alias":"changed"}`), []int{200}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *growthTable) growLog(ctx context.Context, b *bench) error {
	loaded := 0
	who := account{id: id.New(time.Now())}
	for n, size := range steps(10_000, b.options.growthRows, 10) {
		b.say("growth: copying %d rows", size-loaded)
		if err := b.loadLog(ctx, size-loaded, share{who.id, (size - loaded) / 4}); err != nil {
			return err
		}
		loaded = size
		reader, err := b.startService(ctx, "activity-svc", fmt.Sprintf("activity-svc-growth-%d", n), "ACTIVITY_ADDR")
		if err != nil {
			return err
		}
		identity, err := b.identity(who, "activity-svc")
		if err != nil {
			return err
		}
		call := func(query string) request {
			return request{method: "GET", path: "/api/v1/users/auth/activity" + query, header: []string{identity}}
		}
		pages := logPages(20)
		err = t.measure(ctx, b, reader.addr, "rows of the log, a quarter the caller's", size, []operation{
			{"first page", call("?limit=20"), []int{200}},
			{"first page, errors only", call("?limit=20&errors_only=true"), []int{200}},
			{"first page, parts of days", request{method: "GET", path: pages[len(pages)-1], header: []string{identity}},
				[]int{200}},
			{"page 101", call("?limit=20&page=101"), []int{200}},
			{"last page", call(fmt.Sprintf("?limit=20&page=%d", min(lastPage, size/4/20))), []int{200}},
			{"stats", call("/stats"), []int{200}},
		})
		reader.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// faster returns the operations whose time grew faster than their answers, by thing and operation.
func (t *growthTable) faster() map[string]bool {
	first, out := map[string]growthRow{}, map[string]bool{}
	for _, r := range t.rows {
		key := r.thing + "\x00" + r.operation
		f, seen := first[key]
		if !seen {
			first[key] = r
			continue
		}
		time, answer := float64(r.took)/float64(f.took), max(1, float64(r.bytes)/float64(f.bytes))
		out[key] = time > 3*answer
	}
	return out
}
