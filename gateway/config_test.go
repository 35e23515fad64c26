package gateway

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestASettingThatMakesNoSenseIsTheOnlyOneNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ set, says string }{
		{"INTERNAL_KEYS=x", "INTERNAL_KEYS: every internal key must"},
		{"USERS_INTERNAL_KEYS=x", "USERS_INTERNAL_KEYS: every internal key must"},
		{"VAULT_INTERNAL_KEYS=" + testKey("a").Reveal() + "," + testKey("all").Reveal(), ""},
		{"NATS_URL=nats://", "NATS_URL is not"},
		{"REDIS_URL=redis:6379", "REDIS_URL is not"},
		{"READ_TIMEOUT=0s", "READ_TIMEOUT must be"},
		{"READ_TIMEOUT=-1s", "READ_TIMEOUT must be"},
		{"USERS_URL=https://127.0.0.1:8081", "USERS_URL: "},
		{"UPSTREAM_RESOLVE_EVERY=1ms", "UPSTREAM_RESOLVE_EVERY must be"},
		{"UPSTREAM_TIMEOUT=1ms", "UPSTREAM_TIMEOUT must be"},
		{"UPSTREAM_MAX_IN_FLIGHT=0", "UPSTREAM_MAX_IN_FLIGHT must be"},
		{"UPSTREAM_MAX_CONNS=0", "UPSTREAM_MAX_CONNS must be"},
		{"VAULT_MAX_BODY_MB=-1", "VAULT_MAX_BODY_MB must"},
		{"BODY_MEMORY_MB=0", "BODY_MEMORY_MB must be"},
		{"VAULT_MAX_BODY_MB=513", "BODY_MEMORY_MB must be"},
		{"JOURNAL_MAX_BYTES=1", "JOURNAL_MAX_BYTES must be"},
		{"JOURNAL_MAX_AGE=-1s", "JOURNAL_MAX_AGE must"},
		{"STOP_TIMEOUT=0s", "STOP_TIMEOUT must be"},
		{"DRAIN_DELAY=-1s", "DRAIN_DELAY must"},
		{"LOG_FORMAT=xml", "LOG_FORMAT must be"},
		{"CORS_ORIGINS=*", ""},
		{"CORS_ORIGINS=https://app.example,http://localhost:3000, http://[::1]:8080,capacitor://localhost", ""},
		{"CORS_ORIGINS=app.example", "CORS_ORIGINS: "},
		{"CORS_ORIGINS=localhost:3000", "CORS_ORIGINS: "},
		{"CORS_ORIGINS=https://app.example/", "CORS_ORIGINS: "},
		{"CORS_ORIGINS=https://app.example,https://app.example/path", "CORS_ORIGINS: "},
		{"CORS_ORIGINS=https://App.example", "CORS_ORIGINS: "},
		{"CORS_ORIGINS=https://app.example:443", "CORS_ORIGINS: "},
		{"CORS_ORIGINS=https://*.example?", "CORS_ORIGINS: "},
		{"CORS_ORIGINS=https://me@app.example", "CORS_ORIGINS: "},
	} {
		err := config.Load(&Config{}, []string{"INTERNAL_KEYS=" + testKey("all").Reveal(), c.set})
		if c.says == "" && err != nil || c.says != "" &&
			(err == nil || !strings.HasPrefix(err.Error(), c.says) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: got %v, want one line that begins with %q", c.set, err, c.says)
		}
	}
}

// TestEachServiceNeedsKeysOfItsOwn: what one service has must not sign for another.
func TestEachServiceNeedsKeysOfItsOwn(t *testing.T) {
	t.Parallel()
	users, vault, activity := testKey("users-svc").Reveal(), testKey("vault-svc").Reveal(),
		testKey("activity-svc").Reveal()
	for _, c := range []struct{ users, vault, activity, says string }{
		{users, vault, activity, ""},
		{users, vault, "", "ACTIVITY_INTERNAL_KEYS is required and not set"},
		{users, users, activity, "VAULT_INTERNAL_KEYS has a key of USERS_INTERNAL_KEYS: each service needs its own"},
		{users, vault, activity + ", " + vault,
			"ACTIVITY_INTERNAL_KEYS has a key of VAULT_INTERNAL_KEYS: each service needs its own"},
	} {
		err := config.Load(&Config{},
			[]string{"USERS_INTERNAL_KEYS=" + c.users, "VAULT_INTERNAL_KEYS=" + c.vault, "ACTIVITY_INTERNAL_KEYS=" + c.activity})
		if got := fmt.Sprint(err); c.says == "" && err != nil || c.says != "" && got != c.says {
			t.Errorf("got %v, want %q", err, c.says)
		}
	}
}

func TestAnAddressThatCannotBeListenedOnIsNamed(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	d := newTestGateway(t)
	d.settings(func(c *Config) { c.Addr = taken.Addr().String() })
	_, err = New(t.Context(), d.cfg,
		service.Runtime{Log: testkit.Log(t), Metrics: prometheus.NewRegistry(), Now: time.Now})
	if err == nil || !strings.HasPrefix(err.Error(), "GATEWAY_ADDR: ") {
		t.Errorf("an address that is taken: got %v, want GATEWAY_ADDR named", err)
	}
	err = config.Load(&Config{}, []string{"GATEWAY_ADDR=nowhere"})
	if want := `GATEWAY_ADDR: "nowhere" is not host:port`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("an address that is none: got %v, want %s", err, want)
	}
}
