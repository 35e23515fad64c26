package vault

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

func TestACopiedRowIsAnErrorAndNeverAWrongValue(t *testing.T) {
	t.Parallel()
	first := start(t)
	var log testkit.Buffer
	s := runLogging(t, first.cfg, slog.New(slog.NewTextHandler(&log, nil)))
	alice, bob := user(), user()
	for _, key := range []string{"one", "two", "meta"} {
		s.call(alice, "PUT", "/api/v1/vault/keys/"+key,
			fmt.Appendf(nil, `{"value":"secret of %s","metadata":{"of":%q}}`, key, key))
	}
	s.put(bob, "one", "", "secret of bob")
	s.put(alice, "one", "?realm_id="+realmA, "value in A")
	for name, c := range map[string]struct{ sql, path string }{
		"another key's row": {`UPDATE vault_items t
			SET sealed = s.sealed, version = s.version, size_bytes = s.size_bytes FROM vault_items s
			WHERE t.user_id = $1 AND t.key = 'two'
			    AND s.user_id = $1 AND s.key = 'one' AND s.realm_id = ''`, "/two"},
		"another realm's row": {`UPDATE vault_items t
			SET sealed = s.sealed, version = s.version FROM vault_items s
			WHERE t.user_id = $1 AND t.realm_id <> ''
			    AND s.user_id = $1 AND s.key = 'one' AND s.realm_id = ''`, "/one?realm_id=" + realmA},
		"another user's row": {`UPDATE vault_items t
			SET sealed = s.sealed, version = s.version, size_bytes = s.size_bytes FROM vault_items s
			WHERE t.user_id = $1 AND t.key = 'one' AND t.realm_id = ''
			    AND s.user_id = '` + bob.UserID + `'`, "/one"},
		"another item's metadata": {`UPDATE vault_items t
			SET sealed_metadata = s.sealed_metadata, metadata_version = s.metadata_version FROM vault_items s
			WHERE t.user_id = $1 AND t.key = 'meta'
			    AND s.user_id = $1 AND s.key = 'one' AND s.realm_id = ''`, "/meta"},
	} {
		if tag, err := s.pool.Exec(t.Context(), c.sql, alice.UserID); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v %v", name, tag, err)
		}
		r := s.call(alice, "GET", "/api/v1/vault/keys"+c.path, nil)
		if r.status != 500 || r.Code != "INTERNAL_ERROR" || strings.Contains(string(r.raw), "open") {
			t.Errorf("%s: got %d %s", name, r.status, r.raw)
		}
	}
	if r := s.call(alice, "GET", "/api/v1/vault/keys", nil); r.status != 500 {
		t.Errorf("a list with metadata that does not open: got %s", r.raw)
	}
	if !strings.Contains(log.String(), "does not open") || !strings.Contains(log.String(), alice.UserID) ||
		strings.Contains(log.String(), "secret") {
		t.Errorf("the log must name the item and not contain its value: %s", log.String())
	}
	if r := s.call(alice, "PUT", "/api/v1/vault/keys/two", body("mended")); r.status != 200 {
		t.Errorf("an item that does not open can be written again: got %s", r.raw)
	}
}

func TestValuesAndMetadataAreStoredEncrypted(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	s.call(u, "PUT", "/api/v1/vault/keys/k", []byte(`{"value":"the plain value","metadata":{"the":"plain metadata"}}`))
	var n int
	err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM vault_items i, vault_keys k
		WHERE position('plain'::bytea IN i.sealed || i.sealed_metadata || k.wrapped) > 0
			OR i::text LIKE '%plain%'`).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("%d rows hold plain text (%v)", n, err)
	}
}

func TestTheWrongKeyEncryptionKeyOpensNothing(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	kek, err := sealing.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	text, err := kek.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.cfg
	cfg.KeyEncryption = config.Secret(text)
	other := run(t, cfg) // it starts, because no data key is stored yet that could reveal the error
	s.put(u, "k", "", "v")
	for _, method := range []string{"GET", "PUT"} {
		if r := other.call(u, method, "/api/v1/vault/keys/k", body("w")); r.status != 500 {
			t.Errorf("%s: got %d", method, r.status)
		}
	}
	var out bytes.Buffer
	if err := verifyAll(context.Background(), cfg, runtimeOf(t), nil, &out); err == nil ||
		!strings.Contains(out.String(), "does not unwrap") {
		t.Errorf("verify: got %v %s", err, out.String())
	}
	if _, err := New(t.Context(), cfg, runtimeOf(t)); err == nil ||
		!strings.Contains(err.Error(), "VAULT_KEY_ENCRYPTION_KEY is not the keyset of this database") {
		t.Errorf("start: got %v", err)
	}
	if r := s.call(u, "GET", "/api/v1/vault/keys/k", nil); *r.item(t).Value != "v" {
		t.Errorf("got %s", r.raw)
	}
}
