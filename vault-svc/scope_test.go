package vault

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

// scoped returns the identity of an auth token of owner for a part of the vault.
func scoped(owner auth.Identity, part auth.VaultScope) auth.Identity {
	return auth.Identity{Kind: auth.Token, UserID: owner.UserID, TokenID: owner.SessionID, Grant: &auth.Grant{
		AllowNoRealm: true, Permissions: []string{auth.PermVault}, VaultScope: &part}}
}

// keysIn returns the keys of a list.
func keysIn(t testing.TB, r reply) string {
	t.Helper()
	var items []item
	if err := json.Unmarshal(r.Data, &items); r.status != 200 || err != nil {
		t.Fatalf("list: got %d %.300s, want a list", r.status, r.raw)
	}
	keys := make([]string, len(items))
	for i, item := range items {
		keys[i] = item.Key
	}
	return strings.Join(keys, " ")
}

func TestTokenSeesOnlyItsPartOfTheVault(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	for _, key := range []string{"a", "a.1", "a.2", "a-1", "aa", "b", "b.x", "b.xy", "b.z", "z"} {
		s.put(owner, key, "", "v"+key)
	}
	part := scoped(owner, auth.VaultScope{Prefixes: []string{"a.", "b.x"}})
	reader := scoped(owner, auth.VaultScope{Prefixes: []string{"a.", "b.x"}, ReadOnly: true})
	readsAll := scoped(owner, auth.VaultScope{ReadOnly: true})
	for _, c := range []struct {
		as     auth.Identity
		call   string
		status int
	}{
		{part, "GET keys/a.1", 200}, {part, "HEAD keys/a.1", 200}, {part, "GET keys/a.none", 404},
		{part, "GET keys/a", 403}, {part, "GET keys/none", 403}, {part, "HEAD keys/none", 403},
		{part, "PUT keys/a.3", 201}, {part, "PUT keys/b", 403}, {part, "PATCH keys/none", 403},
		{part, "DELETE keys/a.3", 200}, {part, "DELETE keys/z", 403}, {part, "DELETE keys/none", 403},
		{part, "GET keys/A.1", 403}, {part, "GET keys/a%2E1", 200}, {part, "DELETE ", 403}, {part, "GET stats", 200},
		{reader, "GET keys/a.1", 200}, {reader, "GET keys/z", 403}, {reader, "PUT keys/a.1", 403},
		{reader, "PATCH keys/a.none", 403}, {reader, "DELETE keys/a.1", 403}, {reader, "DELETE ", 403},
		{readsAll, "GET keys/z", 200}, {readsAll, "HEAD keys/none", 404}, {readsAll, "PUT keys/z", 403},
		{readsAll, "DELETE keys/none", 403}, {readsAll, "DELETE ", 403}, {readsAll, "GET keys", 200},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		r := s.call(c.as, method, strings.TrimSuffix("/api/v1/vault/"+path, "/"), body("v"))
		if r.status != c.status || c.status == 403 && method != "HEAD" && r.Code != "INSUFFICIENT_PERMISSIONS" {
			t.Errorf("%v: %s: got %d %.200s, want %d", c.as.Grant.VaultScope, c.call, r.status, r.raw, c.status)
		}
	}
	for query, want := range map[string]string{"": "a.1 a.2 b.x b.xy", "?prefix=a": "a.1 a.2", "?prefix=a.2": "a.2",
		"?prefix=b": "b.x b.xy", "?prefix=b.z": "", "?prefix=z": "", "?prefix=b.xyz": "", "?prefix=": "a.1 a.2 b.x b.xy"} {
		for _, as := range []auth.Identity{part, reader} {
			if got := keysIn(t, s.call(as, "GET", "/api/v1/vault/keys"+query, nil)); got != want {
				t.Errorf("list %s: got %s, want %s", query, got, want)
			}
		}
	}
	r := s.call(part, "GET", "/api/v1/vault/stats", nil)
	want := `{"total_keys":4,"total_size_bytes":17,"total_size_mb":0.000016,"limit_mb":null,"used_percentage":null,` +
		`"remaining_mb":null`
	if !strings.HasPrefix(string(r.Data), want) {
		t.Errorf("statistics: got %s, want %s", r.Data, want)
	}
	if r := s.call(readsAll, "GET", "/api/v1/vault/stats", nil); !strings.Contains(string(r.Data), `"total_keys":10,`) ||
		strings.Contains(string(r.Data), `"limit_mb":null`) {
		t.Errorf("statistics of a token that may read all: got %s, want those of the account", r.Data)
	}
}

// TestLongestVaultScopeFitsIntoARequest sends the longest identity that a gateway makes, beside
// headers of a client that are as long as a gateway accepts.
func TestLongestVaultScopeFitsIntoARequest(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	var prefixes, realms []string
	for i := range auth.MaxVaultPrefixes {
		prefixes = append(prefixes, fmt.Sprintf("%03d", i)+strings.Repeat("x", auth.MaxVaultPrefix-3))
	}
	for i := range 100 {
		realms = append(realms, fmt.Sprintf("%024x", i))
	}
	i := scoped(owner, auth.VaultScope{Prefixes: prefixes, ReadOnly: true})
	i.Grant.Realms, i.Grant.Permissions = realms, auth.KnownPermissions()
	path := "/api/v1/vault/keys/" + prefixes[63] + "?realm_id=" + realms[99] + "&" + strings.Repeat("x", 14<<10)
	if r := s.call(i, "GET", path, nil); r.status != 404 {
		t.Errorf("got %d %.300s, want 404", r.status, r.raw)
	}
	if r := s.call(i, "GET", "/api/v1/vault/keys?realm_id="+realms[0], nil); keysIn(t, r) != "" {
		t.Errorf("list: got %.300s, want none", r.raw)
	}
}

func TestRealmsOfATokenCountItsKeys(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	for _, key := range []string{"a.1", "a.2", "b", "c"} {
		s.put(owner, key, "?realm_id="+realmA, "v")
	}
	s.put(owner, "c", "?realm_id="+realmB, "v")
	s.put(owner, "a.1", "", "v")
	gateway := auth.Identity{Kind: auth.System}
	path := internalapi.ReadableRealmsPath + "?user_id=" + owner.UserID + "&prefixes="
	for prefixes, want := range map[string]string{
		"a.,b": `{"realms":[{"realm_id":"` + realmA + `","count":3,"size_bytes":3}]}`, "none": `{"realms":[]}`,
		"a.,a": `{"realms":[{"realm_id":"` + realmA + `","count":2,"size_bytes":2}]}`,
	} {
		if r := s.call(gateway, "GET", path+prefixes, nil); r.status != 200 || string(r.raw) != want {
			t.Errorf("%s: got %d %s, want %s", prefixes, r.status, r.raw, want)
		}
	}
	if r := s.call(owner, "GET", path+"a.", nil); r.status != 401 {
		t.Errorf("as a user: got %d, want 401", r.status)
	}
}
