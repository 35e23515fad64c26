package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// breakEverything drives the load, injects the faults and audits the result.
func (w *world) breakEverything(ctx context.Context, r *report) error {
	w.ledger = &ledger{now: time.Now}
	r.ledger = w.ledger
	var err error
	if w.load, err = newLoad(w.ledger, w.gateways); err != nil {
		return err
	}
	if err := w.startWitnesses(ctx); err != nil {
		return err
	}
	w.load.start(ctx, w.options.rate)
	stopped := sync.OnceFunc(w.load.stop)
	defer stopped()
	pause(ctx, 2*time.Second)
	for _, f := range w.faults() {
		if !w.options.only.MatchString(f.name) {
			continue
		}
		win, err := w.inject(ctx, f)
		if err != nil {
			return err
		}
		r.windows = append(r.windows, win)
	}
	stopped()
	w.say("accounting for %d requests", len(w.ledger.attempts))
	return w.audit(ctx, r)
}

// audit compares the stored state with the acknowledged writes.
func (w *world) audit(ctx context.Context, r *report) error {
	w.ledger.judgeFailures(func(sent, answered time.Time) bool {
		for _, win := range r.windows {
			if win.excuses(sent, answered, w.options.recovery) {
				return true
			}
		}
		return false
	})
	for _, win := range r.windows {
		if win.orderly {
			w.judgeRolling(win)
		}
	}
	for i := range w.load.accounts {
		if err := w.auditVault(i); err != nil {
			return fmt.Errorf("read the vault of %s: %w", w.load.accounts[i].email, err)
		}
	}
	if err := w.auditUsage(ctx); err != nil {
		return err
	}
	if err := w.verifyVault(ctx); err != nil {
		w.ledger.breach(ruleWrites, "vault-svc verify: %v", err)
	}
	if err := w.auditLog(ctx, r); err != nil {
		return err
	}
	return w.auditWitnesses(ctx)
}

// startWitnesses starts the witnesses, which run until the world closes, and waits until each has
// a position.
func (w *world) startWitnesses(ctx context.Context) error {
	w.witnesses = w.load.witnesses()
	follow, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	w.onClose(func(context.Context) error { cancel(); running.Wait(); return nil })
	for _, t := range w.witnesses {
		running.Go(func() { t.run(follow) })
	}
	for _, t := range w.witnesses {
		if err := t.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// witnessPatience is how long after the load the last event may reach a witness.
const witnessPatience = 30 * time.Second

// auditWitnesses compares the events that each witness received with the database.
func (w *world) auditWitnesses(ctx context.Context) error {
	deadline := time.Now().Add(witnessPatience)
	for _, t := range w.witnesses {
		for {
			rows, err := w.changesFor(ctx, t)
			if err != nil {
				return err
			}
			differences := t.compare(rows)
			if len(differences) == 0 {
				break
			}
			if time.Now().Before(deadline) {
				pause(ctx, 200*time.Millisecond)
				continue
			}
			for _, text := range differences {
				w.ledger.breach(ruleWitness, "%s of %s, realm %q: %s", t.path, t.who.email, t.realm, text)
			}
			break
		}
	}
	return nil
}

func (w *world) judgeRolling(win *window) {
	if s := w.ledger.during(win.began, win.closed); s.refused+s.silent > 0 {
		w.ledger.breach(ruleRolling, "%d requests were refused and %d got no answer", s.refused, s.silent)
	}
}

// listed is an item of the list of keys.
type listed struct {
	Key       string
	SizeBytes int64 `json:"size_bytes"`
}

// auditVault reads everything that an account has, realm by realm, and compares it with the ledger
// and the statistics.
func (w *world) auditVault(index int) error {
	c, who := w.load.clients[0], w.load.accounts[index]
	there := map[string]bool{}
	var total int64
	for i := range realmCount + 1 {
		query := ""
		if i > 0 {
			query = "realm_id=" + realm(i)
		}
		var items []listed
		var stats struct {
			Keys int64 `json:"total_keys"`
			Size int64 `json:"total_size_bytes"`
		}
		if err := c.call(request{method: "GET", path: "/api/v1/vault/keys", query: query, token: who.token},
			&items); err != nil {
			return err
		}
		if err := c.call(request{method: "GET", path: "/api/v1/vault/stats", query: query, token: who.token},
			&stats); err != nil {
			return err
		}
		var sum int64
		for _, it := range items {
			sum += it.SizeBytes
			there[keyOf(realm(i), it.Key)] = true
		}
		total += sum
		if stats.Keys != int64(len(items)) || stats.Size != sum {
			w.ledger.breach(ruleQuota, "%s, realm %q: statistics say %d keys and %d bytes, the list has %d and %d",
				who.email, realm(i), stats.Keys, stats.Size, len(items), sum)
		}
	}
	for _, it := range w.ledger.items {
		if it.user != index {
			continue
		}
		if err := w.auditItem(c, who, it, there[keyOf(it.realm, it.key)]); err != nil {
			return err
		}
		delete(there, keyOf(it.realm, it.key))
	}
	for key := range there {
		w.ledger.breach(ruleWrites, "%s has the key %s, which nobody wrote", who.email, key)
	}
	return nil
}

func (w *world) auditItem(c *client, who account, it *item, listed bool) error {
	r := request{method: "GET", path: it.path(), token: who.token}
	if it.realm != "" {
		r.query = "realm_id=" + it.realm
	}
	a := c.send(r)
	var found struct{ Value string }
	switch a.status {
	case 200:
		if err := a.data(&found); err != nil {
			return err
		}
	case 404:
	default:
		return fmt.Errorf("GET %s: got %d: %.300s", it.path(), a.status, a.body)
	}
	if listed != (a.status == 200) {
		w.ledger.breach(ruleWrites, "%s: the list of keys and the key itself disagree", it.path())
	}
	if problem := it.holds(a.status == 200, found.Value); problem != "" {
		w.ledger.breach(ruleWrites, "%s: %s", it.path(), problem)
	}
	return nil
}

// verifyVault runs vault-svc verify, which opens every item.
func (w *world) verifyVault(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(w.bin(), "vault-svc"), "verify")
	cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, w.shared...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %.500s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// logPatience limits the wait until all events are stored. The batch of a killed replica is
// redelivered to another one after ACTIVITY_ACK_WAIT.
const logPatience = 45 * time.Second

// auditLog waits until the log has every record that it must have, and then a little longer,
// because duplicates may arrive late.
func (w *world) auditLog(ctx context.Context, r *report) error {
	known := func(a *attempt) callerKnown {
		for _, win := range r.windows {
			if !win.callersKnown && win.touches(a) {
				return false
			}
		}
		return true
	}
	began := time.Now()
	for {
		w.ledger.clearRecords()
		if err := w.readLog(ctx); err != nil {
			return err
		}
		// Events that gateway 2 dropped and counted never arrive: wait for the others.
		if w.ledger.missing(known, r.unrecordable) == 0 || time.Since(began) > logPatience || ctx.Err() != nil {
			break
		}
		pause(ctx, 250*time.Millisecond)
	}
	r.logComplete = time.Since(began)
	pause(ctx, 2*time.Second)
	w.ledger.clearRecords()
	if err := w.readLog(ctx); err != nil {
		return err
	}
	excused := w.excuseDropped(r, known)
	w.ledger.judgeLog(known, func(a *attempt) bool { return excused[a] })
	return w.auditCounts(ctx)
}

// unrecordable reports whether the request was answered by the gateway that goes on without its
// journal, at a time when the journal could not be written.
func (r *report) unrecordable(a *attempt) bool {
	for _, win := range r.windows {
		if win.unrecorded && a.gateway == 1 && win.touches(a) {
			return true
		}
	}
	return false
}

// excuseDropped returns the requests that the log may miss because gateway 2 counted their events
// as dropped. Both numbers must be equal.
func (w *world) excuseDropped(r *report, known func(*attempt) callerKnown) map[*attempt]bool {
	out := map[*attempt]bool{}
	for _, win := range r.windows {
		if !win.unrecorded {
			continue
		}
		missing := 0
		for _, a := range w.ledger.attempts {
			if fewest, _ := a.owed(known(a)); a.gateway == 1 && a.done && a.records < fewest && win.touches(a) {
				missing++
				out[a] = true
			}
		}
		if missing != win.dropped {
			w.ledger.breach(ruleLog, "%s: gateway 2 says that it dropped %d events, %d are missing", win.name,
				win.dropped, missing)
		}
	}
	return out
}

// droppedEvents returns how many events gateway 2 has not recorded.
func (w *world) droppedEvents() (int, error) {
	n, err := metric(w.gateways[1], "events_dropped_total{")
	return int(n), err
}

// metric returns the sum of an instance's metrics whose name and labels begin with the prefix.
func metric(i *instance, begins string) (sum float64, err error) {
	var res *http.Response
	for range 20 {
		if res, err = http.Get("http://" + i.admin + "/metrics"); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), begins) {
			continue
		}
		n, err := strconv.ParseFloat(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// counted is the answer of the log's statistics.
type counted struct {
	Records int64 `json:"total_records"`
}

// recordsOf returns how many records an account has according to the API.
func (w *world) recordsOf(who account) (int64, error) {
	var n counted
	a := w.load.clients[0].send(request{method: "GET", path: "/api/v1/users/auth/activity/stats", token: who.token})
	if a.status != 200 {
		return 0, fmt.Errorf("activity/stats: got %d: %.300s", a.status, a.body)
	}
	err := json.Unmarshal(a.body, &struct{ Data *counted }{&n})
	return n.Records, err
}
