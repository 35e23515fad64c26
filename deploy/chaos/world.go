package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/freeport"
)

// world holds everything that a run started, and stops it.
type world struct {
	options   options
	root, dir string
	stderr    io.Writer
	ports     freeport.Ports
	closers   []func(context.Context) error

	postgres                                    *postgres
	nats, redis                                 *process
	databaseURL, redisName                      string
	shared                                      []string // settings of all services
	gateways                                    []*instance
	users, users2                               *instance
	vaults, activities                          []*instance
	names                                       string // the system's hosts file
	portUsers, portVault, portActivity          string
	nets                                        networks
	ledger                                      *ledger
	load                                        *load
	witnesses                                   []*witness
	adminEmail, adminPassword, vaultKeyMaterial string
}

// networks are the wires that can be cut. The wires to the three services are behind the third
// gateway only: a proxy accepts connections even for a dead server, and the other gateways must
// meet the dead server itself.
type networks struct {
	postgres, nats, redis  *network
	natsUsers, redisUsers  *network // of users-svc alone
	users, vault, activity *network
}

// instance is a running service.
type instance struct {
	*process
	addr, admin string
	journal     string // folder; of gateways only
}

// The replicas of a service share a name and a port, and have different addresses.
const (
	loopback  = "127.0.0.1"
	loopback2 = "127.0.0.2"
)

func (w *world) logs() string { return filepath.Join(w.dir, "logs") }
func (w *world) bin() string  { return filepath.Join(w.dir, "bin") }

func (w *world) say(format string, v ...any) {
	fmt.Fprintf(w.stderr, time.Now().Format("15:04:05 ")+format+"\n", v...)
}

func (w *world) onClose(f func(context.Context) error) { w.closers = append(w.closers, f) }

// process declares a server that ends with the run.
func (w *world) process(name, program string, environ []string, args ...string) *process {
	p := &process{name: name, program: program, environ: environ, args: args, logs: w.logs()}
	w.onClose(func(ctx context.Context) error {
		if _, done := p.running(); done == nil {
			return nil
		}
		_ = p.thaw() // a suspended process does not receive SIGTERM
		return p.stop(ctx)
	})
	return p
}

func (w *world) network(target string) (*network, error) {
	n, err := newNetwork(target)
	if err == nil {
		w.onClose(func(context.Context) error { n.close(); return nil })
	}
	return n, err
}

// twoNetworks returns two wires to the same server.
func (w *world) twoNetworks(target string) (a, b *network, err error) {
	a, errA := w.network(target)
	b, errB := w.network(target)
	return a, b, errors.Join(errA, errB)
}

// close stops everything in reverse order and removes every file.
func (w *world) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, f := range slices.Backward(w.closers) {
		if err := f(ctx); err != nil {
			w.say("at the end: %v", err)
		}
	}
	if w.options.keep {
		w.say("the logs are in %s", w.logs())
		for _, name := range []string{"bin", "nats"} {
			_ = os.RemoveAll(filepath.Join(w.dir, name))
		}
		return
	}
	if err := os.RemoveAll(w.dir); err != nil {
		w.say("left behind: %v", err)
	}
}

func startAndWait(ctx context.Context, p part) error {
	if err := p.start(); err != nil {
		return err
	}
	return p.ready(ctx)
}

// start builds and starts everything.
func (w *world) start(ctx context.Context) error {
	if err := errors.Join(os.MkdirAll(w.bin(), 0o755), os.MkdirAll(w.logs(), 0o755)); err != nil {
		return err
	}
	if err := ownHosts(filepath.Join(w.dir, "hosts")); err != nil {
		return fmt.Errorf("name the services: %w", err)
	}
	w.onClose(func(context.Context) error { leaveHosts(); return nil })
	names, err := os.ReadFile(filepath.Join(w.dir, "hosts"))
	if err != nil {
		return err
	}
	w.names = string(names)
	if err := w.nameServices(loopback); err != nil {
		return err
	}
	w.say("building")
	if err := w.build(ctx); err != nil {
		return err
	}
	w.say("starting PostgreSQL, NATS, Redis")
	if err := w.startBacking(ctx); err != nil {
		return err
	}
	w.say("starting the services")
	if err := w.settings(ctx); err != nil {
		return err
	}
	return w.startServices(ctx)
}

// nameServices sets the addresses of the name users-svc. The other services always have two
// replicas.
func (w *world) nameServices(users ...string) error {
	text := w.names + "\n" + loopback + " vault activity\n" + loopback2 + " vault activity\n"
	for _, a := range users {
		text += a + " users\n"
	}
	return os.WriteFile(filepath.Join(w.dir, "hosts"), []byte(text), 0o644)
}

func (w *world) build(ctx context.Context) error {
	packages := []string{"./gateway/cmd/gateway", "./users-svc/cmd/users-svc", "./vault-svc/cmd/vault-svc",
		"./activity-svc/cmd/activity-svc"}
	if err := goBuild(ctx, w.root, w.bin(), packages...); err != nil {
		return err
	}
	return goBuild(ctx, filepath.Join(w.root, "deploy"), w.bin(), "github.com/nats-io/nats-server/v2")
}

func goBuild(ctx context.Context, dir, to string, packages ...string) error {
	cmd := exec.CommandContext(ctx, "go",
		append([]string{"build", "-o", to + string(filepath.Separator)}, packages...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// settings sets the settings of all services: addresses, secrets, and rate limits that are counted
// but too high to refuse a request.
func (w *world) settings(ctx context.Context) error {
	keyset, err := exec.CommandContext(ctx, filepath.Join(w.bin(), "vault-svc"), "keys", "generate").Output()
	if err != nil {
		return fmt.Errorf("vault-svc keys generate: %w", err)
	}
	sealing := make([]byte, 32)
	_, _ = rand.Read(sealing) // never returns an error
	w.vaultKeyMaterial = "VAULT_KEY_ENCRYPTION_KEY=" + strings.TrimSpace(string(keyset))
	w.adminEmail, w.adminPassword = "admin@example.com", "Chaos-"+rand.Text()
	w.shared = []string{
		"DATABASE_URL=" + w.databaseURL, "NATS_URL=nats://" + w.nets.nats.addr(),
		"REDIS_URL=redis://" + w.nets.redis.addr(),
		"USERS_INTERNAL_KEYS=" + rand.Text() + rand.Text(), "VAULT_INTERNAL_KEYS=" + rand.Text() + rand.Text(),
		"ACTIVITY_INTERNAL_KEYS=" + rand.Text() + rand.Text(),
		"KEY_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString(sealing), w.vaultKeyMaterial,
		"ADMIN_EMAIL=" + w.adminEmail, "ADMIN_PASSWORD=" + w.adminPassword, "LOG_REQUESTS=errors",
		"RATE_LIMIT_USER=1000000/1m", "RATE_LIMIT_ADDRESS=1000000/1m", "RATE_LIMIT_SIGNUP=off",
		"RATE_LIMIT_REFRESH=off", "STREAMS_PER_USER=100", "RATE_LIMIT_LOGIN_ACCOUNT=off",
		"ACTIVITY_ACK_WAIT=15s", "UPSTREAM_TIMEOUT=" + upstreamTimeout.String(), "DRAIN_DELAY=" + drainDelay.String(),
		"UPSTREAM_RESOLVE_EVERY=1s",
	}
	for _, port := range []*string{&w.portUsers, &w.portVault, &w.portActivity} {
		if *port, err = w.freePort(loopback, loopback2); err != nil {
			return err
		}
	}
	return nil
}

// Settings that differ from the defaults: a gateway gives up on a service before a fault ends, and
// a draining gateway reports so for a moment before it stops, as behind a load balancer.
const (
	upstreamTimeout = 2 * time.Second
	drainDelay      = 500 * time.Millisecond
)

func (w *world) startServices(ctx context.Context) error {
	var err error
	own := []string{"NATS_URL=nats://" + w.nets.natsUsers.addr(), "REDIS_URL=redis://" + w.nets.redisUsers.addr()}
	if w.users, err = w.service("users-svc", "users-svc", "USERS_ADDR", net.JoinHostPort(loopback, w.portUsers),
		own...); err != nil {
		return err
	}
	if w.users2, err = w.service("users-svc", "users-svc-2", "USERS_ADDR", net.JoinHostPort(loopback2, w.portUsers),
		own...); err != nil {
		return err
	}
	for i, host := range []string{loopback, loopback2} {
		v, err := w.service("vault-svc", fmt.Sprintf("vault-svc-%d", i+1), "VAULT_ADDR",
			net.JoinHostPort(host, w.portVault))
		if err != nil {
			return err
		}
		a, err := w.service("activity-svc", fmt.Sprintf("activity-svc-%d", i+1), "ACTIVITY_ADDR",
			net.JoinHostPort(host, w.portActivity))
		if err != nil {
			return err
		}
		w.vaults, w.activities = append(w.vaults, v), append(w.activities, a)
	}
	for _, i := range append([]*instance{w.users}, append(w.vaults, w.activities...)...) {
		if err := startAndWait(ctx, i); err != nil {
			return err
		}
	}
	return w.startGateways(ctx)
}

// startGateways starts three gateways. The first answers only requests that it can record, the
// second drops and counts events that it cannot record, and the third reaches the services over
// networks that can be cut.
func (w *world) startGateways(ctx context.Context) error {
	var err error
	for _, n := range []struct {
		to   **network
		addr string
	}{{&w.nets.users, w.users.addr}, {&w.nets.vault, w.vaults[0].addr}, {&w.nets.activity, w.activities[0].addr}} {
		if *n.to, err = w.network(n.addr); err != nil {
			return err
		}
	}
	direct := []string{"USERS_URL=http://users:" + w.portUsers, "VAULT_URL=http://vault:" + w.portVault,
		"ACTIVITY_URL=http://activity:" + w.portActivity}
	behind := []string{"USERS_URL=http://" + w.nets.users.addr(), "VAULT_URL=http://" + w.nets.vault.addr(),
		"ACTIVITY_URL=http://" + w.nets.activity.addr()}
	for i, own := range [][]string{append(direct, "ACTIVITY_MODE=required"), direct, behind} {
		port, err := w.freePort(loopback)
		if err != nil {
			return err
		}
		journal := filepath.Join(w.dir, fmt.Sprintf("journal-%d", i+1))
		if err := smallDisk(journal, journalDisk); err != nil {
			return fmt.Errorf("disk for a journal: %w", err)
		}
		w.onClose(func(context.Context) error { removeDisk(journal); return nil })
		own = append(slices.Clone(own), "JOURNAL_DIR="+journal)
		g, err := w.service("gateway", fmt.Sprintf("gateway-%d", i+1), "GATEWAY_ADDR", net.JoinHostPort(loopback, port),
			own...)
		if err != nil {
			return err
		}
		g.journal = journal
		w.gateways = append(w.gateways, g)
		if err := startAndWait(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// freePort returns a port that is free on all of the hosts.
func (w *world) freePort(hosts ...string) (string, error) {
	port, err := w.ports.Take(hosts...)
	return strconv.Itoa(port), err
}

// journalDisk is the disk size of one gateway's journal.
const journalDisk = 16 << 20

// service declares an instance of a service without starting it.
func (w *world) service(program, name, addrVariable, addr string, own ...string) (*instance, error) {
	host, _, _ := net.SplitHostPort(addr)
	port, err := w.freePort(host)
	if err != nil {
		return nil, err
	}
	admin := net.JoinHostPort(host, port)
	environ := append(slices.Clone(w.shared),
		append([]string{addrVariable + "=" + addr, "ADMIN_ADDR=" + admin}, own...)...)
	i := &instance{process: w.process(name, filepath.Join(w.bin(), program), environ), addr: addr, admin: admin}
	i.check = answers("http://" + admin + "/readyz")
	return i, nil
}
