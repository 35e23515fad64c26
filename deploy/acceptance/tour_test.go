package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestTheComposeFileRuns starts everything as docker compose would and acts as a user through the
// gateway: sign up, sign in, store a secret, read the log. Then it kills a service and a gateway
// and checks that no data is missing.
func TestTheComposeFileRuns(t *testing.T) {
	s := startStack(t)
	ada := s.signUp("ada@example.com")
	s.want(200, "GET", "/api/v1/users/me", ada, nil)
	s.want(201, "PUT", "/api/v1/vault/keys/db.password", ada, map[string]any{"value": "s3cret"})
	s.want(200, "GET", "/api/v1/realms/", ada, nil)
	s.want(401, "GET", "/api/v1/vault/keys/db.password", "", nil)

	var admin struct {
		User struct {
			IsAdmin bool `json:"is_admin"`
		}
	}
	s.into(s.login(*s.project.Services["users-svc"].Environment["ADMIN_EMAIL"],
		s.secret("users-svc", "admin-password")), &admin)
	if !admin.User.IsAdmin {
		t.Error("the first admin is no admin")
	}
	s.wantRecord(ada, "PUT", "/api/v1/vault/keys/db.password", 201)

	s.kill("vault-svc")
	s.want(503, "GET", "/api/v1/vault/keys/db.password", ada, nil)
	s.want(200, "GET", "/api/v1/users/me", ada, nil)
	s.start("vault-svc")
	s.waitHealthy("vault-svc")
	s.eventually("the vault answers again",
		func() bool { return s.status("GET", "/api/v1/vault/keys/db.password", ada, nil) == 200 })

	// Requests that the gateway answered before it was killed reach the log from its journal.
	s.stop("nats")
	s.want(201, "PUT", "/api/v1/vault/keys/late", ada, map[string]any{"value": "x"})
	s.kill("gateway")
	s.startNATSAgain()
	s.start("gateway")
	s.waitHealthy("gateway")
	s.wantRecord(ada, "PUT", "/api/v1/vault/keys/late", 201)

	s.rolesAreApart()
	s.metricsAreThere()
}

func (s *stack) startNATSAgain() {
	s.t.Helper()
	if err := os.Remove(s.dir + "/nats/secrets"); err != nil {
		s.t.Fatal(err)
	}
	s.startNATS()
}

// send sends a request with body as JSON, or without a body if it is nil.
func (s *stack) send(method, path, token string, body any) (int, json.RawMessage) {
	s.t.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, s.url(path), in)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var envelope struct{ Data json.RawMessage }
	if err := json.Unmarshal(raw, &envelope); err != nil {
		s.t.Fatalf("%s %s: %d %.300s", method, path, res.StatusCode, raw)
	}
	return res.StatusCode, envelope.Data
}

func (s *stack) status(method, path, token string, body any) int {
	status, _ := s.send(method, path, token, body)
	return status
}

func (s *stack) want(status int, method, path, token string, body any) json.RawMessage {
	s.t.Helper()
	got, data := s.send(method, path, token, body)
	if got != status {
		s.t.Fatalf("%s %s: got %d, want %d; data %.300s", method, path, got, status, data)
	}
	return data
}

func (s *stack) into(data json.RawMessage, dst any) {
	s.t.Helper()
	if err := json.Unmarshal(data, dst); err != nil {
		s.t.Fatalf("%.300s: %v", data, err)
	}
}

func (s *stack) login(email, password string) json.RawMessage {
	s.t.Helper()
	return s.want(200, "POST", "/api/v1/users/auth/login", "", map[string]any{"email": email, "password": password})
}

// signUp creates an account and returns its access token.
func (s *stack) signUp(email string) string {
	s.t.Helper()
	const password = "correct-Horse-7"
	s.want(200, "POST", "/api/v1/auth/signup", "", map[string]any{"email": email, "password": password})
	var data struct{ Token string }
	s.into(s.login(email, password), &data)
	return data.Token
}

func (s *stack) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	s.t.Fatalf("waited in vain: %s", what)
}

// wantRecord waits until the caller's activity log has exactly one record of a request.
func (s *stack) wantRecord(token, method, path string, status int) {
	s.t.Helper()
	count := func() int {
		var records []struct {
			Method, Path string
			StatusCode   int `json:"status_code"`
		}
		s.into(s.want(200, "GET", "/api/v1/users/auth/activity?limit=100", token, nil), &records)
		n := 0
		for _, r := range records {
			if r.Method == method && r.Path == path && r.StatusCode == status {
				n++
			}
		}
		return n
	}
	s.eventually("the record of "+method+" "+path, func() bool { return count() > 0 })
	if n := count(); n != 1 {
		s.t.Errorf("%s %s is recorded %d times", method, path, n)
	}
}

// rolesAreApart checks that no service can read another's tables with the credentials in its
// container.
func (s *stack) rolesAreApart() {
	s.t.Helper()
	tables := map[string]string{"users-svc": "users_svc.users", "vault-svc": "vault_svc.vault_items",
		"activity-svc": "activity_svc.activity"}
	for reader := range tables {
		raw, err := os.ReadFile(s.translated(reader, "database-url"))
		if err != nil {
			s.t.Fatal(err)
		}
		u, err := url.Parse(string(raw))
		if err != nil || u.User.Username() != strings.ReplaceAll(reader, "-", "_") {
			s.t.Fatalf("%s connects as %v, %v", reader, u.User, err)
		}
		conn, err := pgx.Connect(context.Background(), u.String())
		if err != nil {
			s.t.Fatal(err)
		}
		for owner, table := range tables {
			_, err := conn.Exec(context.Background(), "SELECT 1 FROM "+table+" LIMIT 1")
			if (err == nil) != (owner == reader) {
				s.t.Errorf("%s reads %s: %v", reader, table, err)
			}
		}
		if _, err := conn.Exec(context.Background(), "CREATE TABLE public.mine (id int)"); err == nil {
			s.t.Errorf("%s may write into the schema public", reader)
		}
		conn.Close(context.Background())
	}
}

// metricsAreThere checks that every process exports the metrics of the overview dashboard, and its
// stamped version in build_info.
func (s *stack) metricsAreThere() {
	s.t.Helper()
	for _, name := range ours {
		res, err := client.Get(s.metricsURL(name))
		if err != nil {
			s.t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, want := range []string{`build_info{service="` + name + `",version="` + stamp + `"} 1`,
			"http_request_duration_seconds_bucket{", "go_goroutines ", "process_open_fds "} {
			if !strings.Contains(string(raw), want) {
				s.t.Errorf("the metrics of %s lack %s", name, want)
			}
		}
	}
}
