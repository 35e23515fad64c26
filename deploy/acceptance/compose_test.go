package acceptance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

// ours are the containers that run our binaries permanently.
var ours = []string{"gateway", "users-svc", "vault-svc", "activity-svc"}

// project reads docker-compose.yml as Compose does, with an empty environment and every profile,
// like "docker compose config".
func project(t *testing.T) *types.Project {
	t.Helper()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return projectIn(t, dir)
}

func projectIn(t *testing.T, dir string, environ ...string) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(dir, "docker-compose.yml")}, cli.WithWorkingDirectory(dir),
		cli.WithInterpolation(true),
		cli.WithResolvedPaths(true), cli.WithNormalization(true), cli.WithConsistency(true),
		cli.WithProfiles([]string{"*"}), cli.WithEnv(environ))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return p
}

// checkout copies the files that Compose reads from this repository into a new folder.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"docker-compose.yml", "deploy/compose/defaults.env", "deploy/compose/users-svc.env"} {
		raw, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(raw))
	}
	return dir
}

// TestRealmgateEnvOverridesDefaults checks that a line of realmgate.env takes effect over any
// default. Without the file the shell's environment decides.
func TestRealmgateEnvOverridesDefaults(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	hold := func(shell string, want map[string]string) {
		t.Helper()
		p := projectIn(t, dir, shell)
		for _, service := range ours {
			for name, value := range want {
				got := p.Services[service].Environment[name]
				if (name != "ADMIN_EMAIL" || service == "users-svc") && (got == nil || *got != value) {
					t.Errorf("%s gets %s=%v, not %s", service, name, got, value)
				}
			}
		}
	}
	hold("OTEL_TRACES_EXPORTER=otlp",
		map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "LOG_LEVEL": "info", "ADMIN_EMAIL": "admin@realmgate.local"})
	write(t, filepath.Join(dir, "realmgate.env"),
		"OTEL_TRACES_EXPORTER=otlp\nLOG_LEVEL=debug\nADMIN_EMAIL=ada@example.com\nGATEWAY_ADDR=:1\n")
	hold("LOG_LEVEL=warn", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "LOG_LEVEL": "debug",
		"ADMIN_EMAIL": "ada@example.com"})
	if got := projectIn(t, dir).Services["gateway"].Environment["GATEWAY_ADDR"]; *got != ":8080" {
		t.Errorf("realmgate.env moved the gateway from its published port to %s", *got)
	}
}

// TestReplicaCountsCanBeSet checks that the number of replicas is a setting, because "docker
// compose up" goes back to the configured number.
func TestReplicaCountsCanBeSet(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	p := projectIn(t, dir, "REALMGATE_VAULT_REPLICAS=3", "REALMGATE_USERS_REPLICAS=2")
	for name, want := range map[string]int{"vault-svc": 3, "users-svc": 2, "activity-svc": 1, "gateway": 1} {
		s := p.Services[name]
		if got := s.GetScale(); got != want {
			t.Errorf("%s runs %d times, not %d", name, got, want)
		}
	}
}

// TestPrometheusReloadsItsFiles checks that the alerts of an update are loaded: Compose does not
// restart a container when a mounted file changes.
func TestPrometheusReloadsItsFiles(t *testing.T) {
	t.Parallel()
	if c := project(t).Services["prometheus"].Command; !slices.Contains(c, "--enable-feature=auto-reload-config") {
		t.Errorf("Prometheus would keep the alerts that it started with: %v", c)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestComposeFile(t *testing.T) {
	t.Parallel()
	p := project(t)
	for _, name := range []string{"gateway", "users-svc", "vault-svc", "activity-svc", "postgres", "nats", "redis",
		"secrets"} {
		if s, ok := p.Services[name]; !ok || len(s.Profiles) > 0 {
			t.Errorf("%s does not start with docker compose up", name)
		}
	}
	// Programs whose images have no way to check their health.
	withoutHealth := []string{"secrets", "otel-collector", "jaeger"}
	for name, s := range p.Services {
		t.Run(name, func(t *testing.T) {
			if s.MemLimit == 0 {
				t.Error("has no memory limit")
			}
			if want := map[bool]string{true: "no",
				false: types.RestartPolicyUnlessStopped}[name == "secrets"]; s.Restart != want {
				t.Errorf("restart: got %q, want %q", s.Restart, want)
			}
			if (s.HealthCheck == nil) != slices.Contains(withoutHealth, name) {
				t.Errorf("health check: got %v", s.HealthCheck)
			}
			if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") ||
				!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
				t.Error("has more rights than it needs")
			}
			for _, v := range s.Volumes {
				if v.Type == types.VolumeTypeBind {
					if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
						t.Errorf("the mount %s is missing or not read-only: %v", v.Source, err)
					}
				}
			}
			for on, d := range s.DependsOn {
				if d.Condition == types.ServiceConditionHealthy && p.Services[on].HealthCheck == nil {
					t.Errorf("waits for the health of %s, which has no health check", on)
				}
			}
		})
	}
}

func TestOnlyTheGatewayIsPublished(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, s := range p.Services {
		for _, port := range s.Ports {
			if len(s.Profiles) == 0 && name != "gateway" {
				t.Errorf("%s publishes %s", name, port.Published)
			}
			if name != "proxy" && port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s beyond this machine, without TLS", name, port.Published)
			}
		}
	}
	if ports := p.Services["gateway"].Ports; len(ports) != 1 || ports[0].Published != "8080" ||
		ports[0].Target != 8080 {
		t.Errorf("the gateway's ports: got %v, want 8080", ports)
	}
	for _, port := range p.Services["proxy"].Ports {
		if port.Published != "80" && port.Published != "443" ||
			!slices.Equal(p.Services["proxy"].Profiles, []string{"tls"}) {
			t.Errorf("the TLS proxy publishes %s", port.Published)
		}
	}
	for name, s := range p.Services {
		_, there := s.Networks["database"]
		if want := slices.Contains([]string{"users-svc", "vault-svc", "activity-svc", "postgres"},
			name); there != want {
			t.Errorf("%s in the network database: got %v, want %v", name, there, want)
		}
	}
	if !p.Networks["database"].Internal {
		t.Error("the network database reaches the outside")
	}
}

// TestSecretsReachOnlyTheirReader checks that no container gets another's secrets and that the file
// itself has none.
func TestSecretsReachOnlyTheirReader(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			reader, isSecret := strings.CutPrefix(v.Source, "secrets-")
			switch {
			case !isSecret:
			case name == "secrets":
				if v.Target != "/secrets/"+reader {
					t.Errorf("the volume %s is written at %s", v.Source, v.Target)
				}
			case reader != name || !v.ReadOnly || v.Target != "/secrets":
				t.Errorf("%s mounts %s at %s, read-only: %v", name, v.Source, v.Target, v.ReadOnly)
			}
		}
		for variable, value := range s.Environment {
			word := strings.ToUpper(variable)
			if isSecretName(word) && !strings.HasSuffix(word, "_FILE") && (value == nil || *value != "") {
				t.Errorf("%s: %s is a secret in the file", name, variable)
			}
			if strings.HasSuffix(word, "_FILE") && (value == nil || !strings.HasPrefix(*value, "/secrets/")) {
				t.Errorf("%s: %s is not a file of /secrets", name, variable)
			}
		}
	}
}

func isSecretName(name string) bool {
	return slices.ContainsFunc([]string{"PASSWORD", "SECRET", "TOKEN", "_KEY", "KEYS", "DATABASE_URL", "NATS_URL",
		"REDIS_URL"}, func(w string) bool { return strings.Contains(name, w) })
}

func TestVolumesAreUsed(t *testing.T) {
	t.Parallel()
	p := project(t)
	used := map[string]bool{}
	for _, s := range p.Services {
		for _, v := range s.Volumes {
			used[v.Source] = true
		}
	}
	for name := range p.Volumes {
		if !used[name] {
			t.Errorf("nothing uses the volume %s", name)
		}
	}
}
