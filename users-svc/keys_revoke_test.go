package users_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/users-svc"
)

// publishedKeys returns the verification keys that a replica publishes to the gateways.
func (h *harness) publishedKeys() auth.Published {
	h.t.Helper()
	var p auth.Published
	if err := json.Unmarshal(h.do(auth.Identity{Kind: auth.System}, "GET", "/internal/keys", nil).mustStatus(200).body,
		&p); err != nil {
		h.t.Fatal(err)
	}
	return p
}

// TestRevokedKeyIsNotPublished: no replica publishes a revoked key or signs with it, even if it had
// the key in memory, and sessions go on.
func TestRevokedKeyIsNotPublished(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin, func(c *users.Config) { c.Sessions.AccessTTL = time.Hour })
	if p := h.publishedKeys(); p.MaxSeconds != 3600 || len(p.PublicKeys()) != 1 || p.Stale {
		t.Fatalf("the gateways are told %+v", p)
	}
	replicas := []string{h.baseURL, h.startReplica()}
	root := h.admin()
	leaked := keyID(t, root.token)
	gone := func(kid string) {
		t.Helper()
		for _, url := range replicas {
			h.baseURL = url
			eventually(t, "a replica forgets the key",
				func() bool { _, there := h.publishedKeys().PublicKeys()[kid]; return !there })
			if got := keyID(t, h.admin().token); got == kid {
				t.Errorf("%s still signs with it", url)
			}
		}
	}
	out, err := h.command("keys revoke", leaked)
	if err != nil || !strings.Contains(out, leaked+" is revoked") ||
		!strings.Contains(out, "a new key signs from now on") {
		t.Fatalf("keys revoke: got %q, %v", out, err)
	}
	gone(leaked)
	if again := h.refresh(root.refresh).mustStatus(200); keyID(t, again.text("token")) == leaked {
		t.Error("the session's new token is signed with the revoked key")
	}
	for name, args := range map[string][]string{"again": {leaked}, "none": nil, "two": {"a", "b"},
		"a forgotten dash": {"-x"}} {
		before := slices.Sorted(maps.Keys(h.publishedKeys().PublicKeys()))
		if out, err := h.command("keys revoke", args...); err == nil {
			t.Errorf("%s: %q", name, out)
		} else if name == "again" && !strings.Contains(err.Error(), before[0]+" (signs now)") {
			t.Errorf("%s: %v does not tell which keys there are", name, err)
		}
		if after := slices.Sorted(maps.Keys(h.publishedKeys().PublicKeys())); !slices.Equal(before, after) {
			t.Errorf("%s: the keys changed from %v to %v", name, before, after)
		}
	}
}

// TestRevokedKeyIsNotReplacedByOlderKey revokes each of three keys: one that signed before, the one
// that signs, and one that will sign later.
func TestRevokedKeyIsNotReplacedByOlderKey(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	old := keyID(t, h.admin().token)
	if _, err := h.command("keys rotate", "-now"); err != nil {
		t.Fatal(err)
	}
	h.clock.forward(time.Second)
	signs := keyID(t, h.admin().token)
	if _, err := h.command("keys rotate"); err != nil {
		t.Fatal(err)
	}
	h.clock.forward(time.Second)
	var next string
	for kid := range h.publishedKeys().PublicKeys() {
		if kid != old && kid != signs {
			next = kid
		}
	}
	if out, err := h.command("keys revoke", old); err != nil || strings.Contains(out, "a new key") {
		t.Errorf("a key that does not sign any more: %q, %v", out, err)
	}
	h.clock.forward(time.Second)
	if got := keyID(t, h.admin().token); got != signs {
		t.Errorf("%s signs, not %s", got, signs)
	}
	for kid := next; kid != ""; {
		if out, err := h.command("keys revoke", kid); err != nil || !strings.Contains(out, "a new key") {
			t.Errorf("%s: %q, %v", kid, out, err)
		}
		h.clock.forward(time.Second)
		got := keyID(t, h.admin().token)
		if got == old || got == kid {
			t.Errorf("after %s was revoked %s signs", kid, got)
		}
		if kid != next {
			break
		}
		kid = got
	}
}
