package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

const restoredPassword = "correct-Horse-7"

// TestABackupRestoresTheInstallation follows deploy/docs/backup.md. It dumps the database of a
// running product and keeps the secrets, loses the machine, restores both on an empty one,
// verifies, and signs in again.
func TestABackupRestoresTheInstallation(t *testing.T) {
	s := startStack(t)
	ada := s.signUp("ada@example.com")
	const realm = "0123456789abcdef01234567"
	large := strings.Repeat("large ", 1<<18)
	for i := range 20 {
		s.want(201, "PUT", fmt.Sprintf("/api/v1/vault/keys/k%d", i), ada,
			map[string]any{"value": fmt.Sprint("value ", i), "metadata": map[string]any{"n": i}})
	}
	s.want(201, "PUT", "/api/v1/vault/keys/large?realm_id="+realm, ada, map[string]any{"value": large})
	s.wantRecord(ada, "PUT", "/api/v1/vault/keys/k7", 201)

	kept := s.backUp()
	s.want(201, "PUT", "/api/v1/vault/keys/too-late", ada, map[string]any{"value": "x"})
	s.loseEverything()
	s.restore(kept)

	out, err := s.command("vault-svc", nil, "verify")
	if err != nil || !strings.Contains(out, "21 items, 0 of them do not open, 0 accounts wrong") {
		t.Fatalf("vault-svc verify: %v\n%s", err, out)
	}
	if out, err := s.command("activity-svc", nil, "recount"); err != nil || !strings.Contains(out, " records counted") {
		t.Fatalf("activity-svc recount: %v\n%s", err, out)
	}
	s.withoutItsSecretsTheVaultStaysShut()

	s.startOurs()
	s.want(200, "GET", "/api/v1/users/me", ada, nil) // the session from before the restore
	var again struct{ Token string }
	s.into(s.login("ada@example.com", restoredPassword), &again)
	var item struct{ Value string }
	for i := range 20 {
		s.into(s.want(200, "GET", fmt.Sprintf("/api/v1/vault/keys/k%d", i), again.Token, nil), &item)
		if item.Value != fmt.Sprint("value ", i) {
			t.Errorf("k%d is %.40q", i, item.Value)
		}
	}
	s.into(s.want(200, "GET", "/api/v1/vault/keys/large?realm_id="+realm, again.Token, nil), &item)
	if item.Value != large {
		t.Errorf("the large value has %d bytes", len(item.Value))
	}
	s.want(404, "GET", "/api/v1/vault/keys/too-late", again.Token, nil)
	s.wantRecord(again.Token, "PUT", "/api/v1/vault/keys/k7", 201)
	s.want(201, "PUT", "/api/v1/vault/keys/new", again.Token, map[string]any{"value": "new"})
	s.wantRecord(again.Token, "PUT", "/api/v1/vault/keys/new", 201)
	s.rolesAreApart()
	s.andOverWhatIsThere(kept)
}

// andOverWhatIsThere restores the dump a second time, over an existing database.
func (s *stack) andOverWhatIsThere(k kept) {
	s.t.Helper()
	for _, name := range ours {
		s.stop(name)
	}
	s.load(k)
	s.startOurs()
	var again struct{ Token string }
	s.into(s.login("ada@example.com", restoredPassword), &again)
	s.want(200, "GET", "/api/v1/vault/keys/k7", again.Token, nil)
	s.want(404, "GET", "/api/v1/vault/keys/new", again.Token, nil)
	s.wantRecord(again.Token, "PUT", "/api/v1/vault/keys/k7", 201)
	s.rolesAreApart()
}

// kept is the content of a backup.
type kept struct{ dump, secrets string }

// backUp dumps the database while everything runs and copies the master folder of the secrets.
func (s *stack) backUp() kept {
	s.t.Helper()
	dir := s.t.TempDir()
	k := kept{dump: filepath.Join(dir, "realmgate.dump"), secrets: filepath.Join(dir, "secrets-all")}
	run(s.t, dir, s.postgresTool("pg_dump"), "--format=custom", "--file="+k.dump, s.databaseURL())
	run(s.t, dir, "cp", "-a", filepath.Join(s.dir, "secrets/all"), k.secrets)
	return k
}

// loseEverything stops all processes and deletes their data: database, stream, journal and secrets.
func (s *stack) loseEverything() {
	s.t.Helper()
	for _, name := range []string{"gateway", "activity-svc", "vault-svc", "users-svc", "nats"} {
		s.stop(name)
	}
	s.removePostgres()
	for _, lost := range []string{"secrets", "nats", "data", "translated"} {
		if err := os.RemoveAll(filepath.Join(s.dir, lost)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// restore puts the secrets back, lets PostgreSQL create its roles from them, and loads the dump
// into the empty schemas.
func (s *stack) restore(k kept) {
	s.t.Helper()
	if err := os.Mkdir(filepath.Join(s.dir, "secrets"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	run(s.t, s.dir, "cp", "-a", k.secrets, filepath.Join(s.dir, "secrets/all"))
	s.makeSecrets()
	s.startPostgres()
	s.load(k)
	s.startNATS()
}

// load replaces the database by the dump. No service may be running.
func (s *stack) load(k kept) {
	s.t.Helper()
	run(s.t, s.dir, s.postgresTool("pg_restore"), "--dbname="+s.cluster.URL("postgres"), "--clean", "--create",
		"--if-exists", "--exit-on-error", k.dump)
}

// databaseURL is the superuser's address of the database.
func (s *stack) databaseURL() string {
	return s.cluster.URL(*s.project.Services["postgres"].Environment["POSTGRES_DB"])
}

// postgresTool returns the path of one of PostgreSQL's client programs.
func (s *stack) postgresTool(name string) string {
	s.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		s.t.Skipf("this machine has no %s", name)
	}
	return path
}

// command runs a command of a binary in the environment of its container; changed replaces some
// variables.
func (s *stack) command(name string, changed []string, args ...string) (string, error) {
	s.t.Helper()
	cmd := testkit.Command(s.t, binary(s.t, name), args...)
	cmd.Env, cmd.Dir = append(s.environ(name), changed...), s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// withoutItsSecretsTheVaultStaysShut: values in the dump cannot be read without the secrets.
func (s *stack) withoutItsSecretsTheVaultStaysShut() {
	s.t.Helper()
	other, err := s.command("vault-svc", nil, "keys", "generate")
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.t.TempDir(), "another-key")
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		s.t.Fatal(err)
	}
	out, err := s.command("vault-svc", []string{"VAULT_KEY_ENCRYPTION_KEY_FILE=" + path}, "verify")
	if err == nil || !strings.Contains(out, "21 items, 21 of them do not open") {
		s.t.Errorf("verify with another key: %v\n%s", err, out)
	}
}

func (s *stack) startOurs() {
	s.t.Helper()
	for _, name := range []string{"users-svc", "vault-svc", "activity-svc", "gateway"} {
		s.start(name)
	}
	for _, name := range ours {
		s.waitHealthy(name)
	}
}
