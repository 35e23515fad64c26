package archtest

import (
	"os/exec"
	"path"
	"strings"
	"testing"
)

// layers assigns each package of a module to a layer. A package imports only packages of lower
// layers from its module, so that no domain depends on a domain built on top of it.
var layers = map[string]map[string]int{
	"gateway": {
		".": 2, "cmd/gateway": 3, "openapi/render": 2,
		"internal/edge": 1, "internal/identity": 1, "internal/journal": 1, "internal/memory": 1,
		"internal/streams": 1, "internal/upstream": 1,
		"console": 1, "openapi": 1,
	},
	"vault-svc": {
		".": 3, "cmd/vault-svc": 4,
		"internal/store": 2,
		"internal/batch": 1, "internal/keyrange": 1, "internal/memory": 1, "internal/precondition": 1,
		"internal/sealing": 1, "internal/watch": 1,
	},
	"activity-svc": {
		".": 2, "cmd/activity-svc": 3,
		"internal/export": 1, "internal/search": 1, "internal/series": 1, "internal/streammonitor": 1,
		"internal/timerange": 0,
	},
	"users-svc": {
		".": 7, "cmd/users-svc": 8,
		"internal/device": 6, "internal/oidc": 6, "internal/passkey": 6, "internal/twofactor": 6,
		"internal/admin": 5, "internal/emailchange": 5, "internal/signin": 5, "internal/signup": 5,
		"internal/account":  4,
		"internal/apitoken": 3, "internal/session": 3, "internal/throttle": 3,
		"internal/freetier": 2, "internal/history": 2, "internal/mail": 2,
		"internal/passwords": 2, "internal/signing": 2,
		"internal/core": 1, "internal/field": 1, "internal/mailaddr": 1, "internal/permission": 1,
		"internal/request": 1, "internal/secrets": 1,
	},
}

func TestPackagesImportLowerLayersOnly(t *testing.T) {
	t.Parallel()
	for module, of := range layers {
		cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
		cmd.Dir = path.Join(root, module)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", module, err)
		}
		prefix := "github.com/realmgate/realmgate/" + module
		inModule := func(importPath string) (string, bool) {
			rest, ok := strings.CutPrefix(importPath, prefix)
			if rest == "" && ok {
				return ".", true
			}
			return strings.CutPrefix(rest, "/")
		}
		seen := 0
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			importer, _ := inModule(fields[0])
			layer, known := of[importer]
			if !known {
				t.Errorf("%s: %s has no layer: add it to the table", module, importer)
				continue
			}
			seen++
			for _, imported := range fields[1:] {
				if name, ok := inModule(imported); ok && of[name] >= layer {
					t.Errorf("%s: %s (layer %d) imports %s (layer %d)", module, importer, layer, name, of[name])
				}
			}
		}
		if seen != len(of) {
			t.Errorf("%s has %d packages, the table %d", module, seen, len(of))
		}
	}
}
