package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestEmptySettingsCountAsNotSet(t *testing.T) {
	t.Parallel()
	r := start(t, "INTERNAL_TLS_CERT_FILE=", "INTERNAL_KEYS=", "KEY_ENCRYPTION_KEY=", "VAULT_KEY_ENCRYPTION_KEY_FILE=",
		"DATABASE_URL_FILE=")
	r.login(adminEmail, adminPassword)
}

func TestConfigMarksSettingsThatStandaloneSets(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	if err := printSettings(&table, []string{"USERS_URL=http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range setHere {
		if !strings.Contains(table.String(), "\n"+name+" = (set by standalone)  (standalone)\n") {
			t.Errorf("-config does not mark %s", name)
		}
	}
	if got := ignored([]string{"USERS_URL=http://127.0.0.1:1", "JOURNAL_DIR=",
		"GATEWAY_ADDR=127.0.0.1:0"}); !slices.Equal(got, []string{"USERS_URL"}) {
		t.Errorf("said to have no effect: %v, want USERS_URL", got)
	}
}

func TestConfigShowsValuesInForceAndHidesSecrets(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://u:Hunter2@h/db"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	environ := []string{
		"DATABASE_URL_FILE=" + file, "NATS_URL=nats://u:Hunter2@h", "SMTP_URL=smtp://u:Hunter2@h",
		"OTEL_EXPORTER_OTLP_HEADERS=k=Hunter2",
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://u:Hunter2@h:4318", "ADMIN_PASSWORD=Hunter2", "ACTIVITY_RETENTION=30d",
		"STOP_TIMEOUT=soon",
		"XDG_DATA_HOME=/ignored", "CORS_ORIGINS=" + strings.Repeat("https://a.example,", 20),
	}
	if code := run(t.Context(), []string{"-config"}, environ, &out, &out); code != 0 {
		t.Fatalf("exit %d: %s", code, &out)
	}
	for _, want := range []string{
		"DATABASE_URL = [hidden]  (file)", "NATS_URL = [hidden]  (env)", "SMTP_URL = [hidden]  (env)",
		"ACTIVITY_RETENTION = 30d  (env)",
		"STOP_TIMEOUT = soon  (env)", "LOG_LEVEL = warn  (default)", "KEY_ENCRYPTION_KEY = (generated)  (standalone)",
		"INTERNAL_KEYS = (set by standalone)  (standalone)", "OTEL_EXPORTER_OTLP_ENDPOINT = https://[hidden]@h:4318  (env)",
	} {
		if !strings.Contains(out.String(), "\n"+want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	names := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		name, _, _ := strings.Cut(line, " =")
		if strings.Contains(line, "Hunter2") || utf8.RuneCountInString(line) > 120 || strings.Contains(line, " = ") &&
			names[name] {
			t.Errorf("the line %q", line)
		}
		names[name] = true
	}
}

// TestAllWrongSettingsAreReportedBeforeAnythingStarts covers the settings of every service, and
// wants no folder to be created.
func TestAllWrongSettingsAreReportedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), &bytes.Buffer{}
	environ := []string{
		"DATA_DIR=" + dir, "GATEWAY_ADDR=8080", "ADMIN_ADDR=127.0.0.1:99999", "STOP_TIMEOUT=soon",
		"JOURNAL_MAX_BYTES=1",
		"KEY_ENCRYPTION_KEY=Hunter2",
		"MAIL_VERIFY_TTL=0s", "VAULT_MAX_ITEMS=0", "VAULT_KMS_URI=x", "ACTIVITY_WRITERS=99",
		"DATABASE_URL=postgres://u:Hunter2@SecretTail99@h/d",
		"TLS_CERT_FILE=/no/such/file", "TLS_KEY_FILE=/no/such/file", "LOG_FORMAT=xml", "FREE_TIER_SERVERS=nowhere",
		"REDIS_URL_FILE=/no/such/file",
	}
	if code := run(t.Context(), nil, environ, out, out); code != 2 {
		t.Errorf("exit %d, want 2", code)
	}
	for _, kv := range environ[1:] {
		name, _, _ := strings.Cut(kv, "=")
		if name = strings.TrimSuffix(name, "_URL_FILE"); name != "TLS_KEY_FILE" &&
			strings.Count(out.String(), "\n"+name) != 1 {
			t.Errorf("%s is not named by one line of\n%s", name, out)
		}
	}
	if testkit.Leaks(out.String()) {
		t.Errorf("a part of a secret shows in\n%s", out)
	}
	if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
		t.Errorf("made %v (%v)", made, err)
	}
}

func TestTheAdminAddressServesTheGateway(t *testing.T) {
	t.Parallel()
	admin := testkit.FreeAddr(t)
	start(t, "ADMIN_ADDR="+admin)
	res, err := http.Get("http://" + admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), "public keys") {
		t.Errorf("/readyz: %d %s (%v), want the gateway's", res.StatusCode, body, err)
	}
}

func TestNothingIsCreatedUnlessStandaloneStarts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		args    []string
		environ []string
		code    int
		says    string
	}{
		{"help", []string{"-h"}, nil, 0, "-make-secrets"},
		{"an unknown flag", []string{"-serve"}, nil, 2, "-serve"},
		{"a command", []string{"foo"}, nil, 2, `no command "foo"`},
		{"a command after a flag", []string{"-version", "foo"}, nil, 2, `no command "foo"`},
		{"a secret of no folder", []string{"-show", "admin-password"}, nil, 2, "-show needs -make-secrets"},
	} {
		dir, out := t.TempDir(), &bytes.Buffer{}
		code := run(t.Context(), c.args, append([]string{"GATEWAY_ADDR=127.0.0.1:0", "DATA_DIR=" + dir}, c.environ...),
			out, out)
		if code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit %d, want %d; said %q, want %q in it", c.name, code, c.code, out, c.says)
		}
		if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
			t.Errorf("%s: made %v (%v)", c.name, made, err)
		}
	}
}
