package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.PlainBodyDecoder)
	testkit.ServeOnSmallDisk(watchedNATS)
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	testkit.Main(m, removeBinary)
}

const (
	adminEmail    = "root@example.com"
	adminPassword = "Root-Password-1"
	userPassword  = "correct-Horse-7"
)

// dataFolder returns an empty DATA_DIR that the user of PostgreSQL can enter even when the tests
// run as root. Otherwise its data would lie elsewhere and not be removed.
func dataFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// noLimits turns off the rate limits that a fast test would reach.
var noLimits = []string{
	"RATE_LIMIT_SIGNUP=off", "RATE_LIMIT_ADDRESS=off", "RATE_LIMIT_USER=off", "RATE_LIMIT_RETRY_SETUP=off",
	"RATE_LIMIT_VERIFY=off",
	"RATE_LIMIT_RESEND=off", "RATE_LIMIT_REFRESH=off",
}

// running is the whole product, started for one test.
type running struct {
	t    *testing.T
	url  string
	spec *conformance // nil: answers are not checked against openapi.yaml
}

// start runs the product with the settings in environ on a database of its own, and stops it at the
// end of the test.
func start(t *testing.T, environ ...string) *running {
	t.Helper()
	environ = append([]string{
		"DATA_DIR=" + dataFolder(t), "GATEWAY_ADDR=127.0.0.1:0", "DATABASE_URL=" + testkit.Postgres(t),
		"ADMIN_EMAIL=" + adminEmail,
		"ADMIN_PASSWORD=" + adminPassword, "LOG_LEVEL=error", "DATABASE_MAX_CONNS=4", "ADMIN_ADDR=127.0.0.1:0",
	}, environ...)
	ctx, cancel := context.WithCancel(context.Background())
	cfg, err := load(environ)
	if err != nil {
		t.Fatal(err)
	}
	st, err := newStack(ctx, cfg, environ, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- st.run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		t.Fatalf("start: %v", err)
	case <-time.After(readyTimeout):
		t.Fatal("not ready in time")
	}
	return &running{t: t, url: "http://" + st.gateway.Addr()}
}

// request is a request of a test. A string or bytes as Body is sent as it is, any other value as
// JSON.
type request struct {
	method, path, token string
	body                any
	host                string
	header              map[string]string
}

// answer is a response.
type answer struct {
	status int
	header http.Header
	raw    []byte
	// The envelope. The type of Data depends on the operation.
	Message  string          `json:"message"`
	Code     string          `json:"code"`
	Error    string          `json:"error"`
	Data     json.RawMessage `json:"data"`
	Metadata *struct {
		Total, Page, Limit, Pages int
	} `json:"metadata"`
	Warnings []string `json:"warnings"`
}

func (r *running) send(q request) answer {
	r.t.Helper()
	var body io.Reader
	switch b := q.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	case []byte:
		body = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(q.method, r.url+q.path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if q.token != "" {
		req.Header.Set("Authorization", "Bearer "+q.token)
	}
	if q.host != "" {
		req.Host = q.host
	}
	for k, v := range q.header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultTransport.RoundTrip(req) // follows no redirects: tests look at each answer
	if err != nil {
		r.t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	defer res.Body.Close()
	raw, err := readAnswer(res)
	if err != nil {
		r.t.Fatalf("%s %s: read the answer: %v", q.method, q.path, err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: raw}
	if strings.Contains(res.Header.Get("Content-Type"), "json") {
		_ = json.Unmarshal(raw, &a) // documents such as the key set have no envelope
	}
	if r.spec != nil {
		r.spec.hold(r.t, req, a)
	}
	return a
}

// readAnswer reads the body of an answer; of an event stream, which has no end, what comes first.
func readAnswer(res *http.Response) ([]byte, error) {
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return io.ReadAll(res.Body)
	}
	first := make([]byte, 4<<10)
	n, err := res.Body.Read(first)
	if errors.Is(err, io.EOF) { // the answer to HEAD
		err = nil
	}
	return first[:n], err
}

func (r *running) get(path, token string) answer {
	r.t.Helper()
	return r.send(request{method: http.MethodGet, path: path, token: token})
}

func (r *running) do(method, path, token string, body any) answer {
	r.t.Helper()
	return r.send(request{method: method, path: path, token: token, body: body})
}

// want fails the test unless the answer has the status and, if code is not empty, the error code.
func (a answer) want(t *testing.T, what string, status int, code string) answer {
	t.Helper()
	if a.status != status || a.Code != code {
		t.Fatalf("%s: got %d %s, want %d %s; answer %.600s", what, a.status, a.Code, status, code, a.raw)
	}
	return a
}

// into decodes the answer's data.
func (a answer) into(t *testing.T, dst any) {
	t.Helper()
	if err := json.Unmarshal(a.Data, dst); err != nil {
		t.Fatalf("data %.300s: %v", a.Data, err)
	}
}

// account is a user who is signed in.
type account struct {
	ID, Username, Email, Token, Refresh string
}

// login signs in with an e-mail address.
func (r *running) login(email, password string) account {
	r.t.Helper()
	var data struct {
		Token        string `json:"token"`
		RefreshToken string `json:"refreshToken"`
		User         struct{ ID, Username string }
	}
	r.do("POST", "/api/v1/users/auth/login", "", map[string]any{"email": email, "password": password}).want(r.t,
		"login of "+email, 200, "").into(r.t, &data)
	return account{ID: data.User.ID, Username: data.User.Username, Email: email, Token: data.Token,
		Refresh: data.RefreshToken}
}

// user signs up a user and signs in.
func (r *running) user(name string) account {
	r.t.Helper()
	email := fmt.Sprintf("%s@example.com", name)
	r.do("POST", "/api/v1/auth/signup", "", map[string]any{"email": email, "password": userPassword}).want(r.t,
		"signup of "+email, 200, "")
	return r.login(email, userPassword)
}

// admin signs the first admin in.
func (r *running) admin() account {
	r.t.Helper()
	return r.login(adminEmail, adminPassword)
}

// eventually waits for an effect that follows the answer. Events that a killed process was handling
// are delivered again after ACTIVITY_ACK_WAIT, 30 s, and the last of them a little later.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testkit.Patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}
