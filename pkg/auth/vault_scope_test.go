package auth

import (
	"fmt"
	"strings"
	"testing"
)

func TestPrefixesAreIntersected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, normal, common string }{
		{"a", "a", "a", "a"}, {"b a", "a", "a b", "a"}, {"a ab a.b", "ab", "a", "ab"}, {"ab ac", "a", "ab ac", "ab ac"},
		{"a", "ab ac b", "a", "ab ac"}, {"a", "b", "a", ""}, {"a. a", "a.x", "a", "a.x"},
		{"ab b", "a b.c", "ab b", "ab b.c"}, {"-a - .", "-", "- .", "-"},
	} {
		if got := strings.Join(NormalPrefixes(strings.Fields(c.a)), " "); got != c.normal {
			t.Errorf("normal form of %s: got %s, want %s", c.a, got, c.normal)
		}
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			if got := strings.Join(CommonPrefixes(strings.Fields(pair[0]), strings.Fields(pair[1])), " "); got != c.common {
				t.Errorf("%s and %s: got %s, want %s", pair[0], pair[1], got, c.common)
			}
		}
	}
}

func TestVaultScopeOfAGrant(t *testing.T) {
	t.Parallel()
	part := &VaultScope{ReadOnly: true, Prefixes: []string{"a"}}
	vault := []string{PermVault}
	for name, c := range map[string]struct {
		grant *Grant
		want  string
	}{
		"none":                   {nil, "{false []} false"},
		"no permission":          {&Grant{VaultAccess: true, VaultScope: part}, "{false []} false"},
		"the whole vault":        {&Grant{VaultAccess: true, Permissions: vault}, "{false []} true"},
		"no vault":               {&Grant{Permissions: vault}, "{false []} false"},
		"a part":                 {&Grant{VaultScope: part, Permissions: vault}, "{true [a]} true"},
		"a part, for the others": {(&Grant{VaultScope: part, Permissions: vault}).WithoutVaultScope(), "{false []} false"},
		"a part, whatever else":  {&Grant{VaultAccess: true, VaultScope: part, Permissions: vault}, "{true [a]} true"},
	} {
		scope, ok := c.grant.Vault()
		if got := fmt.Sprint(scope, ok); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
