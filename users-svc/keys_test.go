package users_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/users-svc"
)

func TestSigningKeysRotateWithOverlap(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin, func(c *users.Config) { c.Signing.MaxAge, c.Signing.Lead = 30*24*time.Hour, time.Hour })
	root := h.admin()
	if n := len(h.jwks()); n != 1 {
		t.Fatalf("keys at first: got %d, want 1", n)
	}
	h.backdate("signing_keys", 31*24*time.Hour, "created_at", "signs_from")
	h.countConcurrent(3, func(int) bool { h.startReplica(); return true }) // a start maintains the keys
	// a new replica has no cached answer
	h.baseURL = h.startReplica()
	if n := len(h.jwks()); n != 2 {
		t.Fatalf("keys after the age of one, three replicas: got %d, want 2", n)
	}
	kid := func() string {
		h.baseURL = h.startReplica()
		return keyID(t, h.admin().token)
	}
	before := kid()
	if before != keyID(t, root.token) {
		t.Error("the new key signs before its lead is over")
	}
	h.backdate("signing_keys", 61*time.Minute, "created_at", "signs_from")
	after := kid()
	if after == before {
		t.Error("the old key signs after the new one's lead is over")
	}
	h.backdate("signing_keys", 23*time.Hour, "created_at", "signs_from")
	h.baseURL = h.startReplica()
	if _, there := h.jwks()[before]; !there {
		t.Error("the old key is gone although a token that it signed lives")
	}
	h.backdate("signing_keys", 2*time.Hour, "created_at", "signs_from")
	h.baseURL = h.startReplica()
	if _, there := h.jwks()[before]; there {
		t.Error("the old key is published although no token that it signed lives")
	}
}

func TestReplicasShareSigningKey(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	first := h.admin()
	h.baseURL = h.startReplica()
	if _, err := auth.Parse(first.token, h.jwks(), "realmgate", "realmgate", h.clock.now); err != nil {
		t.Errorf("a token of the first replica at the second: %v", err)
	}
}

// keyID returns the kid in a token's header.
func keyID(t *testing.T, token string) string {
	t.Helper()
	header, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		t.Fatal(err)
	}
	var h struct{ Kid string }
	if err := json.Unmarshal(raw, &h); err != nil || h.Kid == "" {
		t.Fatalf("header %s: %v", raw, err)
	}
	return h.Kid
}
