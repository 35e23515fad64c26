package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/activity-svc"
	"github.com/realmgate/realmgate/gateway"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/trace"
	"github.com/realmgate/realmgate/users-svc"
	"github.com/realmgate/realmgate/vault-svc"
)

// stack holds everything that runs in this process.
type stack struct {
	cfg      Config
	dir      *dataDir
	backing  *backing
	services []*service.Service // in start order
	gateway  *service.Service
	// password is the first admin's generated password until it has been shown, and "" otherwise.
	password string
}

const (
	localPort    = "127.0.0.1:0"
	readyTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// newStack opens everything. After a failure it closes the parts that it had opened.
func newStack(ctx context.Context, cfg Config, environ []string, logTo io.Writer) (*stack, error) {
	if err := portFree(cfg.GatewayAddr); err != nil {
		return nil, err
	}
	path, err := cfg.dataDir()
	if err != nil {
		return nil, err
	}
	dir, err := openDataDir(path)
	if err != nil {
		return nil, err
	}
	st := &stack{cfg: cfg, dir: dir}
	if err := st.open(ctx, environ, logTo); err != nil {
		return nil, errors.Join(err, st.close(context.WithoutCancel(ctx)))
	}
	return st, nil
}

func (st *stack) open(ctx context.Context, environ []string, logTo io.Writer) error {
	log, err := st.logger(environ, logTo)
	if err != nil {
		return err
	}
	for _, name := range ignored(environ) {
		log.Warn("a setting has no effect: standalone sets it itself", "setting", name)
	}
	if st.backing, err = openBacking(ctx, st.cfg, st.dir, log); err != nil {
		return err
	}
	shared, err := st.sharedSettings(ctx, environ)
	if err != nil {
		return err
	}
	if err := st.openServices(ctx, with(environ, shared...), log); err != nil {
		return err
	}
	return st.writeServersFile()
}

// logger returns the log of this process.
func (st *stack) logger(environ []string, to io.Writer) (*slog.Logger, error) {
	var base service.Config
	err := config.Load(&base, with(environ, "LOG_LEVEL="+st.cfg.LogLevel, "LOG_FORMAT="+st.cfg.LogFormat))
	return service.NewRuntime(base, to).Log, err
}

// portFree reports the most common failure, a port in use, in one line before anything starts.
func portFree(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("GATEWAY_ADDR: cannot listen on %s (%w): stop what uses the port, or set GATEWAY_ADDR to "+
			"another, for example 127.0.0.1:8081", addr, errors.Unwrap(err))
	}
	return ln.Close()
}

// sharedSettings returns the settings that all services read and that standalone decides:
// addresses, and the secrets of the data folder unless the environment sets them.
func (st *stack) sharedSettings(ctx context.Context, environ []string) ([]string, error) {
	out := []string{
		"NATS_URL=" + st.backing.natsURL, "REDIS_URL=" + st.backing.redisURL,
		"LOG_LEVEL=" + st.cfg.LogLevel, "LOG_FORMAT=" + st.cfg.LogFormat, "INTERNAL_KEYS=",
	}
	if st.cfg.NATSURL == "" { // the embedded server has no TLS and listens on the loopback interface
		out = append(out, "NATS_TLS_CA_FILE=", "NATS_TLS_CERT_FILE=", "NATS_TLS_KEY_FILE=", "NATS_CREDS_FILE=")
	}
	if st.cfg.RedisURL == "" {
		out = append(out, "REDIS_TLS_CA_FILE=", "REDIS_TLS_CERT_FILE=", "REDIS_TLS_KEY_FILE=")
	}
	for _, name := range []string{"USERS_INTERNAL_KEYS", "VAULT_INTERNAL_KEYS", "ACTIVITY_INTERNAL_KEYS"} {
		key, err := longRandomText() // both sides are in this process, so the key need not be stored
		if err != nil {
			return nil, err
		}
		out = append(out, name+"="+key)
	}
	for _, s := range []struct {
		name, file string
		generate   func() (string, error)
	}{
		{"KEY_ENCRYPTION_KEY", "users-key-encryption-key", randomKey},
		{"VAULT_KEY_ENCRYPTION_KEY", "vault-key-encryption-key", vault.GenerateKeyset},
	} {
		if isSet(environ, s.name) {
			continue
		}
		value, err := st.dir.secret(s.file, s.generate)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.file, err)
		}
		out = append(out, s.name+"="+value)
	}
	admin, err := st.firstAdmin(ctx)
	return append(out, admin...), err
}

// firstAdmin returns the settings of the first admin, or none if an admin exists whose password a
// person knows. A generated password stays in the data folder until it has been shown. None is
// generated for a database that has an admin.
func (st *stack) firstAdmin(ctx context.Context) ([]string, error) {
	if given := st.cfg.AdminPassword.Reveal(); given != "" {
		return []string{"ADMIN_EMAIL=" + st.cfg.AdminEmail, "ADMIN_PASSWORD=" + given}, nil
	}
	_, shown := os.Stat(st.dir.sub(shownMarker))
	_, generated := os.Stat(st.dir.sub("secrets/admin-password"))
	there := shown == nil
	if !there && generated != nil {
		// If the database does not answer yet, users-svc waits for it and checks again.
		email, err := users.AdminEmail(ctx, config.Secret(st.backing.databaseURL("users_svc")), st.cfg.AdminEmail)
		there = err == nil && email != ""
	}
	if there {
		return []string{"ADMIN_EMAIL=", "ADMIN_PASSWORD="}, nil
	}
	password, err := st.dir.secret("admin-password", typeablePassword)
	st.password = password
	return []string{"ADMIN_EMAIL=" + st.cfg.AdminEmail, "ADMIN_PASSWORD=" + password}, err
}

// shownMarker is the file that records that the admin's password was printed or given by the
// operator.
const shownMarker = "admin-password-shown"

// withPublicURL makes links in mails begin with the gateway's address if PUBLIC_URL is not set.
func (st *stack) withPublicURL(environ []string, log *slog.Logger) []string {
	_, port, err := net.SplitHostPort(st.cfg.GatewayAddr)
	if isSet(environ, "PUBLIC_URL") || err != nil || port == "0" {
		return environ
	}
	scheme := "http://"
	if st.cfg.TLS.Cert != "" {
		scheme = "https://"
	}
	url := scheme + displayAddr(st.cfg.GatewayAddr)
	if isSet(environ, "SMTP_URL") {
		log.Warn("PUBLIC_URL is not set: links in mails begin with the gateway's address", "links", url)
	}
	return with(environ, "PUBLIC_URL="+url)
}

// openServices makes the four services, each with its own settings and registry.
func (st *stack) openServices(ctx context.Context, environ []string, log *slog.Logger) error {
	environ = st.withPublicURL(environ, log)
	usersSvc, err := open(ctx, environ, st, log, users.Program(), "users_svc", usersPort, "USERS_ADDR="+localPort)
	if err != nil {
		return err
	}
	vaultSvc, err := open(ctx, environ, st, log, vault.Program(), "vault_svc", vaultPort, "VAULT_ADDR="+localPort)
	if err != nil {
		return err
	}
	activitySvc, err := open(ctx, environ, st, log, activity.Program(), "activity_svc", activityPort,
		"ACTIVITY_ADDR="+localPort)
	if err != nil {
		return err
	}
	scheme := "http://"
	if isSet(environ, "INTERNAL_TLS_CERT_FILE") {
		scheme = "https://"
	}
	st.gateway, err = open(ctx, environ, st, log, gateway.Program(), "", gatewayPort,
		"GATEWAY_ADDR="+st.cfg.GatewayAddr, "JOURNAL_DIR="+st.dir.sub("journal"),
		"USERS_URL="+scheme+usersSvc.Addr(), "VAULT_URL="+scheme+vaultSvc.Addr(),
		"ACTIVITY_URL="+scheme+activitySvc.Addr())
	return err
}

// open makes one service from its program. It gets the database of schema, if it has one, and an
// admin port at offset from ADMIN_ADDR's.
func open[C any](ctx context.Context, environ []string, st *stack, log *slog.Logger, p service.Program[C],
	schema string, offset int, own ...string) (*service.Service, error) {
	if schema != "" {
		own = append(own, "DATABASE_URL="+st.backing.databaseURL(schema))
	}
	admin, err := st.cfg.adminAddr(offset)
	if err != nil {
		return nil, err
	}
	svc, err := openAt(ctx, with(environ, append(own, "ADMIN_ADDR="+admin)...), log, p)
	if errors.Is(err, syscall.EADDRINUSE) && portFree(admin) != nil &&
		(offset != gatewayPort || !isSet(environ, "ADMIN_ADDR")) {
		log.Warn("a port of the admin endpoints is taken, another is used: set ADMIN_ADDR", "service", p.Name, "taken",
			admin)
		svc, err = openAt(ctx, with(environ, append(own, "ADMIN_ADDR="+localPort)...), log, p)
	}
	if err == nil {
		st.services = append(st.services, svc)
	}
	return svc, err
}

func openAt[C any](ctx context.Context, environ []string, log *slog.Logger, p service.Program[C]) (*service.Service,
	error) {
	var cfg C
	if err := config.Load(&cfg, environ); err != nil {
		return nil, fmt.Errorf("settings of %s: %w", p.Name, err)
	}
	rt := service.Runtime{Log: log.With("service", p.Name), Metrics: prometheus.NewRegistry(), Now: time.Now,
		Version: service.Version()}
	for _, warning := range config.Removed(&cfg, environ) {
		rt.Log.Warn(warning)
	}
	var err error
	if rt.Traces, err = trace.New(p.Base(&cfg).Traces, p.Name, rt.Version, rt.Log, rt.Metrics); err != nil {
		return nil, fmt.Errorf("settings of %s: %w", p.Name, err)
	}
	svc, err := p.New(ctx, cfg, rt)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return svc, nil
}

// isSet reports whether environ has the setting name or its _FILE. An empty value counts as not
// set, as in package config.
func isSet(environ []string, name string) bool {
	set := map[string]bool{}
	for _, kv := range environ {
		n, value, _ := strings.Cut(kv, "=")
		set[n] = value != "" // the last value counts
	}
	return set[name] || set[name+"_FILE"]
}

// with returns environ with the settings in own replaced, including those that environ reads from a
// file.
func with(environ []string, own ...string) []string {
	out := append(slices.Clone(environ), own...)
	for _, kv := range own {
		name, _, _ := strings.Cut(kv, "=")
		out = append(out, name+"_FILE=")
	}
	return out
}

// run serves until ctx ends or a part fails, then stops everything in reverse order. It calls ready
// once, when all services are ready.
func (st *stack) run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-st.backing.failed:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	go func() {
		if err := st.waitReady(ctx); err == nil {
			ready()
		} else if ctx.Err() == nil {
			cancel(err)
		}
	}()
	err := service.RunAll(ctx, st.services...)
	st.services = nil // run has closed them
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return errors.Join(err, st.close(context.WithoutCancel(ctx)))
}

// waitReady returns when every service reports that it is ready.
func (st *stack) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, svc := range st.services {
		for {
			status, report := svc.CheckReady(ctx)
			if status == http.StatusOK {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not ready: %v", svc.Name(), report)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

// close releases everything. Services are closed first because they use the rest.
func (st *stack) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	var all []error
	for i := len(st.services) - 1; i >= 0; i-- {
		all = append(all, st.services[i].Close(ctx))
	}
	if st.backing != nil {
		all = append(all, st.backing.close(ctx))
	}
	return errors.Join(append(all, st.removeServersFile(), st.dir.close())...)
}
