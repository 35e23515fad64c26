package acceptance

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/realmgate/realmgate/pkg/config"
)

// given returns the value of a variable of a service, "" if it is not set.
func given(s types.ServiceConfig, name string) string {
	if v := s.Environment[name]; v != nil {
		return *v
	}
	return ""
}

// TestRealmgateEnvIsTakenLiterally: no character of a value has a special meaning.
func TestRealmgateEnvIsTakenLiterally(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	for _, value := range []string{"Pa$w0rd#12", "${HOME}", "$$", "a # b", `back\\slash`, "it's", "=", "ü"} {
		write(t, filepath.Join(dir, "realmgate.env"), "# a comment\n\nADMIN_PASSWORD="+value+"\nMAIL_FROM="+value+"\n")
		p := projectIn(t, dir, "w0rd=interpolated", "HOME=/root")
		if got := given(p.Services["secrets"], "ADMIN_PASSWORD"); got != value {
			t.Errorf("ADMIN_PASSWORD=%s arrives as %q", value, got)
		}
		if got := given(p.Services["users-svc"], "MAIL_FROM"); got != value {
			t.Errorf("MAIL_FROM=%s arrives as %q", value, got)
		}
	}
}

// TestSecretsOfRealmgateEnvReachOnlyTheirReader sets every secret setting. If a service mounts a
// file for it, the value reaches only the service "secrets", which writes that file. Otherwise it
// reaches only the services that read the setting.
func TestSecretsOfRealmgateEnvReachOnlyTheirReader(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	readers := map[string][]string{}
	for binary, settings := range settingsOf() {
		for _, s := range settings {
			// No file of Compose can name the secrets of a group, whose names the operator chooses.
			// Their documentation says to give them as files.
			if s.Secret && !strings.Contains(s.Name, "<") {
				readers[s.Name] = append(readers[s.Name], binary)
			}
		}
	}
	var file strings.Builder
	for name := range readers {
		file.WriteString(name + "=s3cret\n")
	}
	write(t, filepath.Join(dir, "realmgate.env"), file.String())
	p := projectIn(t, dir)
	for name, binaries := range readers {
		want := binaries
		if slices.ContainsFunc(binaries, func(b string) bool { return given(p.Services[b], name+"_FILE") != "" }) {
			want = []string{"secrets"}
		}
		if len(binaries) == len(ours) {
			continue // shared by all services, such as the collector's password
		}
		for service, s := range p.Services {
			if got := given(s, name) != ""; got != slices.Contains(want, service) {
				t.Errorf("%s reaches %s: %v; it is for %v", name, service, got, want)
			}
		}
	}
}

// TestReadersOfSecretsAreInTheirGroup: the files in /secrets are readable by the group of the
// service "secrets".
func TestReadersOfSecretsAreInTheirGroup(t *testing.T) {
	t.Parallel()
	p := project(t)
	_, group, _ := strings.Cut(p.Services["secrets"].User, ":")
	if group == "" || group == "0" {
		t.Fatalf("secrets runs as %q", p.Services["secrets"].User)
	}
	for name, s := range p.Services {
		mounts := slices.ContainsFunc(s.Volumes,
			func(v types.ServiceVolumeConfig) bool { return v.Target == "/secrets" })
		// Our images run as 65532:65532, see deploy/Dockerfile.
		if mounts && !slices.Contains(ours, name) && !slices.Contains(s.GroupAdd, group) {
			t.Errorf("%s cannot read its secrets: it is not in the group %s", name, group)
		}
	}
	if group != "65532" {
		t.Errorf("our own images are not in the group %s", group)
	}
}

// TestTheGatewayWaitsForNoService: the gateway must stay up during an update while the services
// restart.
func TestTheGatewayWaitsForNoService(t *testing.T) {
	t.Parallel()
	for on, d := range project(t).Services["gateway"].DependsOn {
		if d.Condition == types.ServiceConditionHealthy {
			t.Errorf("the gateway waits for the health of %s", on)
		}
	}
}

// TestNoImageOfOursComesFromAPublicRegistry: a name without a registry belongs to Docker Hub, where
// anybody may register it.
func TestNoImageOfOursComesFromAPublicRegistry(t *testing.T) {
	t.Parallel()
	p := project(t)
	for _, name := range append(slices.Clone(ours), "secrets") {
		if image := p.Services[name].Image; !strings.HasPrefix(image, "localhost/") {
			t.Errorf("%s would be pulled as %s", name, image)
		}
	}
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	own := projectIn(t, dir, "REALMGATE_REGISTRY=registry.example/realmgate", "REALMGATE_VERSION=1.2.3")
	if image := own.Services["vault-svc"].Image; image != "registry.example/realmgate/vault-svc:1.2.3" {
		t.Errorf("one's own registry: %s", image)
	}
}

// TestTwoCheckoutsAreTwoInstallations: the project is named after the folder, unless the operator
// names it.
func TestTwoCheckoutsAreTwoInstallations(t *testing.T) {
	t.Parallel()
	one, two := checkout(t), filepath.Join(t.TempDir(), "second")
	raw := readText(t, "docker-compose.yml")
	write(t, filepath.Join(two, "docker-compose.yml"), raw)
	for _, name := range []string{"deploy/compose/defaults.env", "deploy/compose/users-svc.env"} {
		write(t, filepath.Join(two, name), readText(t, name))
	}
	first, second := projectIn(t, one), projectIn(t, two)
	if first.Name == second.Name || second.Name != "second" ||
		first.Volumes["postgres"].Name == second.Volumes["postgres"].Name {
		t.Errorf("two checkouts are the projects %s and %s", first.Name, second.Name)
	}
	if regexp.MustCompile(`(?m)^name:`).MatchString(raw) {
		t.Error("docker-compose.yml names the project")
	}
}

// TestExternalServersCanBeConfigured: -make-secrets writes an address from realmgate.env into the
// files of its readers.
func TestExternalServersCanBeConfigured(t *testing.T) {
	t.Parallel()
	dir, environ := filepath.Join(t.TempDir(), "secrets"),
		[]string{"REDIS_URL=rediss://:x@redis.example:6380/0", "ADMIN_PASSWORD=Pa$w0rd#12-and-more"}
	runWith(t, environ, binary(t, "standalone"), "-make-secrets", dir)
	for file, want := range map[string]config.Secret{
		"gateway/redis-url":        "rediss://:x@redis.example:6380/0",
		"users-svc/redis-url":      "rediss://:x@redis.example:6380/0",
		"users-svc/admin-password": "Pa$w0rd#12-and-more",
	} {
		if got := readAt(t, filepath.Join(dir, file)); got != want.Reveal() {
			t.Errorf("%s holds %q", file, got)
		}
	}
}
