package vault

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

func runtimeOf(t testing.TB) service.Runtime {
	return service.Runtime{Log: testkit.Log(t), Metrics: prometheus.NewRegistry(), Now: time.Now, Version: "test"}
}

// command runs one of the binary's commands and returns what it printed.
func command(t testing.TB, cfg Config, name string) (string, error) {
	t.Helper()
	for _, c := range commands() {
		if c.Name == name {
			var out bytes.Buffer
			err := c.Run(context.Background(), cfg, runtimeOf(t), nil, &out)
			return out.String(), err
		}
	}
	t.Fatalf("no command %s", name)
	return "", nil
}

func TestTheKeyEncryptionKeyIsReplacedWhileTheServiceRuns(t *testing.T) {
	t.Parallel()
	s := start(t)
	users := make([]string, 0, 30)
	for n := range 30 {
		u := user()
		users = append(users, u.UserID)
		s.put(u, "k", "", fmt.Sprint("value ", n))
	}
	with := func(name string, cfg Config) Config {
		text, err := command(t, cfg, name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cfg.KeyEncryption = config.Secret(strings.TrimSpace(text))
		return cfg
	}
	added := with("keys add", s.cfg)
	promoted := with("keys promote", added)
	second := run(t, added) // this replica has the new key and still wraps with the old one
	out, err := command(t, promoted, "keys rotate")
	if err != nil || !strings.Contains(out, "30 data keys to wrap") || !strings.Contains(out, "30 of 30 wrapped") {
		t.Fatalf("rotate: got %v\n%s", err, out)
	}
	if out, err = command(t, promoted, "keys rotate"); err != nil || !strings.Contains(out, "0 data keys to wrap") {
		t.Fatalf("rotate again: got %v\n%s", err, out)
	}
	third := run(t, promoted)
	for n, id := range users {
		u := user()
		u.UserID = id
		for name, replica := range map[string]*stack{"with its old key": s, "with both": second,
			"after the rotation": third} {
			if got := replica.call(u, "GET", "/api/v1/vault/keys/k", nil); got.status != 200 ||
				*got.item(t).Value != fmt.Sprint("value ", n) {
				t.Errorf("%s: got %s", name, got.raw)
			}
		}
	}
	if out, err = command(t, promoted, "verify"); err != nil ||
		!strings.Contains(out, "30 items, 0 of them do not open, 0 accounts wrong") {
		t.Errorf("verify: got %v\n%s", err, out)
	}
	if _, err = command(t, s.cfg, "verify"); err == nil {
		t.Error("the old key alone must not open anything any more")
	}
}

func TestVerifyReportsDamagedItemsAndWrongAccounts(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	for n := range 2*200 + 5 {
		s.put(u, fmt.Sprint("k", n), "", "v")
	}
	out, err := command(t, s.cfg, "verify")
	if err != nil || !strings.Contains(out, "405 items, 0 of them do not open") {
		t.Fatalf("got %v\n%s", err, out)
	}
	for _, sql := range []string{
		`UPDATE vault_items SET sealed = set_byte(sealed, 30, get_byte(sealed, 30) # 1) WHERE key = 'k17'`,
		`UPDATE vault_items SET version = gen_random_uuid() WHERE key = 'k404'`,
		`UPDATE vault_usage SET bytes = bytes + 1`,
	} {
		if tag, err := s.pool.Exec(t.Context(), sql); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v %v", sql, tag, err)
		}
	}
	out, err = command(t, s.cfg, "verify")
	if err == nil || !strings.Contains(out, `key="k17" does not open`) ||
		!strings.Contains(out, `key="k404" does not open`) ||
		!strings.Contains(out, "all realms, is 406 bytes in 405 rows; the rows are 405 bytes in 405") ||
		!strings.Contains(out, "405 items, 2 of them do not open, 1 accounts wrong") {
		t.Errorf("got %v\n%s", err, out)
	}
}

func TestKeysGenerateNeedsNoSettings(t *testing.T) {
	t.Parallel()
	text, err := command(t, Config{}, "keys generate")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealing.ParseKeyset(text); err != nil {
		t.Errorf("the printed keyset does not parse: %v", err)
	}
	for _, c := range commands() {
		if bare := c.Name == "keys generate" || c.Name == "keys add" || c.Name == "keys promote" ||
			c.Name == "keys wrap"; c.Bare != bare {
			t.Errorf("%s: Bare is %v", c.Name, c.Bare)
		}
	}
}
