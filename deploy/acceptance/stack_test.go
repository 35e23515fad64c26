package acceptance

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/localpg"
	"github.com/realmgate/realmgate/pkg/testkit"
)

const (
	startTimeout = testkit.Patience
	stopTimeout  = testkit.Patience
)

// stack runs the compose file as processes on this machine: the same binaries, environment, secrets
// and configuration files, but with loopback ports instead of host names.
type stack struct {
	t       *testing.T
	project *types.Project
	dir     string            // takes the place of the volumes
	hosts   map[string]string // "postgres:5432" → "127.0.0.1:40001"
	running map[string]*process
	cluster *localpg.Cluster
}

type process struct {
	name    string
	environ []string
	cmd     *exec.Cmd
	log     *bytes.Buffer
	done    chan error
}

// startStack starts PostgreSQL, NATS, Redis and our four binaries, and waits until the -health of
// each reports that it is ready.
func startStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, project: project(t), running: map[string]*process{}, hosts: map[string]string{}}
	var err error
	if s.dir, err = os.MkdirTemp(scratch, "stack-"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{scratch, s.dir} { // PostgreSQL runs as another user and reads its passwords here
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.makeSecrets()
	for _, host := range []string{"postgres:5432", "nats:4222", "redis:6379", "gateway:8080", "users-svc:8081",
		"vault-svc:8082", "activity-svc:8083"} {
		s.hosts[host] = testkit.FreeAddr(t)
	}
	s.startPostgres()
	s.startNATS()
	s.startRedis()
	s.startOurs()
	return s
}

// makeSecrets does the work of the service "secrets", twice, because each "up" runs it.
func (s *stack) makeSecrets() {
	s.t.Helper()
	entry := s.project.Services["secrets"].Entrypoint
	if len(entry) != 3 || entry[0] != "/realmgate" || entry[1] != "-make-secrets" {
		s.t.Fatalf("the entry point of secrets is %v", entry)
	}
	program := binary(s.t, "standalone")
	run(s.t, s.dir, program, entry[1], s.dir+entry[2])
	before := s.secret("users-svc", "key-encryption-key")
	run(s.t, s.dir, program, entry[1], s.dir+entry[2])
	if before == "" || s.secret("users-svc", "key-encryption-key") != before {
		s.t.Fatal("a second run changed a secret")
	}
	shown, _ := run(s.t, s.dir, program, entry[1], s.dir+entry[2], "-show", "admin-password")
	if strings.TrimSpace(shown) != s.secret("users-svc", "admin-password") {
		s.t.Fatal("-show admin-password shows something else")
	}
	info, err := os.Stat(filepath.Join(s.dir, "secrets/all/secrets/admin-password"))
	if err != nil || info.Mode().Perm() != 0o600 {
		s.t.Fatalf("the master copy: %v, %v", info, err)
	}
}

func (s *stack) secret(reader, name string) string {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "secrets", reader, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(raw)
}

// config returns a configuration file that the compose file mounts into a service.
func (s *stack) config(service, target string) string {
	s.t.Helper()
	for _, v := range s.project.Services[service].Volumes {
		if v.Target == target {
			raw, err := os.ReadFile(v.Source)
			if err != nil {
				s.t.Fatal(err)
			}
			return string(raw)
		}
	}
	s.t.Fatalf("%s mounts nothing at %s", service, target)
	return ""
}

func (s *stack) startPostgres() {
	s.t.Helper()
	t, service := s.t, s.project.Services["postgres"]
	pg, err := localpg.Start(t.Context(),
		localpg.Options{Dir: filepath.Join(s.dir, "postgres"), Settings: localpg.Disposable(), Log: testkit.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.cluster = pg
	t.Cleanup(s.removePostgres)
	database := *service.Environment["POSTGRES_DB"]
	if err := pg.CreateDatabase(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	sql := strings.ReplaceAll(s.config("postgres", "/docker-entrypoint-initdb.d/realmgate.sql"), "/secrets/",
		s.readableByPostgres()+"/")
	conn, err := pgx.Connect(t.Context(), pg.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("deploy/compose/postgres-init.sql: %v", err)
	}
	u, err := url.Parse(pg.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	s.hosts["postgres:5432"] = u.Host
}

// readableByPostgres returns a copy of PostgreSQL's secrets that its user on this machine can read.
// In the container that user is in the files' group.
func (s *stack) readableByPostgres() string {
	s.t.Helper()
	dir := filepath.Join(s.dir, "secrets-of-postgres")
	for _, name := range []string{"users_svc", "vault_svc", "activity_svc"} {
		path := filepath.Join(dir, name)
		write(s.t, path, s.secret("postgres", name))
		if err := os.Chmod(path, 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

// removePostgres deletes the database and all its data. It can be called twice.
func (s *stack) removePostgres() {
	s.t.Helper()
	if s.cluster == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := s.cluster.Remove(ctx); err != nil {
		s.t.Error(err)
	}
	s.cluster = nil
}

// startNATS builds the server at the version in deploy/go.mod and starts it with the configuration
// of the compose file.
func (s *stack) startNATS() {
	s.t.Helper()
	etc := filepath.Join(s.dir, "nats/etc/nats")
	if err := os.MkdirAll(etc, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(s.dir, "secrets/nats"), filepath.Join(s.dir, "nats/secrets")); err != nil {
		s.t.Fatal(err)
	}
	text := s.config("nats", "/etc/nats/nats.conf")
	for old, here := range map[string]string{"port: 4222": "listen: " + s.hosts["nats:4222"],
		"http: 8222": "http: " + testkit.FreeAddr(s.t), `"/data"`: `"` + s.dir + `/nats/data"`} {
		if !strings.Contains(text, old) {
			s.t.Fatalf("nats.conf has no %s", old)
		}
		text = strings.ReplaceAll(text, old, here)
	}
	if err := os.WriteFile(filepath.Join(etc, "nats.conf"), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	program := filepath.Join(scratch, "nats-server")
	build := testkit.Command(s.t, "go", "build", "-o", program, "github.com/nats-io/nats-server/v2")
	build.Dir, build.Env = filepath.Join(root, "deploy"), testkit.BuildEnv()
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	s.spawn("nats", nil, program, "--config", filepath.Join(etc, "nats.conf"))
	s.waitTCP(s.hosts["nats:4222"])
}

// startRedis starts miniredis, the only program that differs from the compose file: no Redis server
// is a Go module. It does not read redis.conf.
func (s *stack) startRedis() {
	s.t.Helper()
	redis := testkit.Redis(s.t)
	redis.RequireAuth(s.secret("redis", "password"))
	if got := s.secret("redis", "auth.conf"); got != "requirepass "+s.secret("redis", "password")+"\n" {
		s.t.Errorf("auth.conf of Redis: %q", got)
	}
	s.hosts["redis:6379"] = redis.Addr()
}

func (s *stack) waitTCP(addr string) {
	s.t.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return
		}
	}
	s.t.Fatalf("nothing listens on %s", addr)
}

// environ returns the environment of a service in the compose file, with its host names, volumes
// and ports replaced by those of this test.
func (s *stack) environ(name string) []string {
	s.t.Helper()
	service := s.project.Services[name]
	out := []string{"PATH=" + os.Getenv("PATH"), "DATABASE_MAX_CONNS=4"}
	for k, v := range service.Environment {
		value := *v
		if value == "" {
			continue // counts as not set
		}
		switch {
		case strings.HasPrefix(value, "/secrets/"):
			value = s.translated(name, strings.TrimPrefix(value, "/secrets/"))
		case strings.HasPrefix(value, "/data/"):
			value = s.dir + value
		case k == "ADMIN_ADDR":
			value = testkit.FreeAddr(s.t)
		case strings.HasPrefix(value, ":"):
			value = s.hosts[name+value]
		case strings.HasPrefix(value, "http://"):
			value = "http://" + s.hosts[strings.TrimPrefix(value, "http://")]
		}
		if value == "" && !notOurs(k) {
			s.t.Fatalf("%s: %s=%s leads nowhere", name, k, *v)
		}
		out = append(out, k+"="+value)
	}
	return out
}

// translated copies a secret that is an address, with the port of this test in it, and returns the
// path of the copy.
func (s *stack) translated(service, file string) string {
	s.t.Helper()
	text := s.secret(service, file)
	for host, addr := range s.hosts {
		text = strings.ReplaceAll(text, "@"+host, "@"+addr)
	}
	path := filepath.Join(s.dir, "translated", service, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *stack) start(name string) {
	s.t.Helper()
	s.spawn(name, s.environ(name), binary(s.t, name))
}

// spawn starts a process that must exit with status 0 when the test ends it.
func (s *stack) spawn(name string, environ []string, program string, args ...string) {
	s.t.Helper()
	p := &process{name: name, environ: environ, log: &bytes.Buffer{}, done: make(chan error, 1)}
	p.cmd = testkit.Command(s.t, program, args...)
	p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = environ, s.dir, p.log, p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	s.running[name] = p
	s.t.Cleanup(func() { s.stop(name) })
}

// stop ends a process in an orderly way. It has no effect on a process that has ended.
func (s *stack) stop(name string) {
	s.t.Helper()
	p := s.running[name]
	if p == nil {
		return
	}
	delete(s.running, name)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.done:
		if err != nil && name != "nats" {
			s.t.Errorf("%s ended with %v", name, err)
		}
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		s.t.Errorf("%s does not stop", name)
	}
	if s.t.Failed() {
		s.t.Logf("log of %s:\n%s", name, tail(p.log.String()))
	}
}

// kill ends a process as a crash would.
func (s *stack) kill(name string) {
	s.t.Helper()
	p := s.running[name]
	delete(s.running, name)
	if err := p.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-p.done //nolint:errcheck // it was killed
}

func tail(log string) string { return log[max(0, len(log)-4000):] }

// waitHealthy runs the binary's health check as the container does.
func (s *stack) waitHealthy(name string) {
	s.t.Helper()
	p, check := s.running[name], s.project.Services[name].HealthCheck.Test
	if strings.Join(check, " ") != "CMD /realmgate -health" {
		s.t.Fatalf("%s: the health check is %v", name, check)
	}
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(50 * time.Millisecond) {
		cmd := testkit.Command(s.t, binary(s.t, name), check[2:]...)
		cmd.Env = p.environ
		out, err := cmd.CombinedOutput()
		if err == nil {
			return
		}
		select {
		case err := <-p.done:
			s.t.Fatalf("%s ended: %v\n%s", name, err, tail(p.log.String()))
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is not healthy: %v\n%s\n%s", name, err, out, tail(p.log.String()))
		}
	}
}

// url returns the address of a path on the gateway.
func (s *stack) url(path string) string { return "http://" + s.hosts["gateway:8080"] + path }

// metricsURL returns the address of a process's metrics.
func (s *stack) metricsURL(name string) string {
	for _, kv := range s.running[name].environ {
		if addr, ok := strings.CutPrefix(kv, "ADMIN_ADDR="); ok {
			return "http://" + addr + "/metrics"
		}
	}
	return ""
}

var client = &http.Client{Timeout: 30 * time.Second}
