package gateway

import (
	"testing"
	"time"
)

// TestAKeyIsRevokedOnEveryGatewayWithoutNATSAndRedis: tokens of the key that were taken a moment
// ago are refused, and the new key's are taken.
func TestAKeyIsRevokedOnEveryGatewayWithoutNATSAndRedis(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	read := ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}
	if r := d.do(read); r.status != 200 {
		t.Fatalf("got %d %s", r.status, r.raw)
	}
	d.broker.Stop()
	d.redis.Close()
	d.users.mu.Lock()
	d.users.key = newSigningKey(t, "k2")
	d.users.mu.Unlock()
	d.until("the token of the revoked key is refused", func() bool { return d.do(read).code == "INVALID_TOKEN" })
	read.bearer = d.users.sign(t, ada, time.Hour)
	if r := d.do(read); r.status != 200 {
		t.Errorf("a token of the new key: %d %s", r.status, r.raw)
	}
}

// TestAUsersSvcOfThePreviousReleaseIsUnderstood: it has only the public route of its keys.
func TestAUsersSvcOfThePreviousReleaseIsUnderstood(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.users.previous = true
	d.settings()
	d.start()
	ada := d.users.signIn(t)
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 {
		t.Errorf("got %d %s", r.status, r.raw)
	}
}
