package acceptance

import (
	"maps"
	"slices"
	"testing"

	"github.com/realmgate/realmgate/activity-svc"
	"github.com/realmgate/realmgate/gateway"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/users-svc"
	"github.com/realmgate/realmgate/vault-svc"
)

// settingsOf lists the settings that each binary reads from its environment.
func settingsOf() map[string][]config.Setting {
	return map[string][]config.Setting{
		"gateway":      config.Settings(&gateway.Config{}),
		"users-svc":    config.Settings(&users.Config{}),
		"vault-svc":    config.Settings(&vault.Config{}),
		"activity-svc": config.Settings(&activity.Config{}),
	}
}

// notOurs reports whether the Go runtime reads the variable.
func notOurs(name string) bool { return name == "GOMEMLIMIT" }

// holdSettings fails the test for every variable that the binary does not read, and for every
// required setting that is missing.
func holdSettings(t *testing.T, where, binary string, environ map[string]string) {
	t.Helper()
	known, secret := map[string]bool{}, map[string]bool{}
	for _, s := range settingsOf()[binary] {
		known[s.Name] = true
		if s.Secret {
			known[s.Name+"_FILE"], secret[s.Name] = true, true
		}
		if _, file := environ[s.Name+"_FILE"]; s.Required && environ[s.Name] == "" && !file {
			t.Errorf("%s: %s does not get %s", where, binary, s.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		if !known[name] && !notOurs(name) {
			t.Errorf("%s: %s does not read %s", where, binary, name)
		}
		if secret[name] {
			t.Errorf("%s: %s gets the secret %s in its environment, not in a file", where, binary, name)
		}
	}
	if len(environ) < 5 {
		t.Errorf("%s: %s gets only %v", where, binary, environ)
	}
}

func TestComposeSetsOnlySettingsThatBinariesRead(t *testing.T) {
	t.Parallel()
	p := project(t)
	for _, name := range ours {
		environ := map[string]string{}
		for k, v := range p.Services[name].Environment {
			if *v != "" { // an empty value counts as not set
				environ[k] = *v
			}
		}
		holdSettings(t, "docker-compose.yml", name, environ)
	}
}
