package users_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

// TestPublicURLIsValidated: the links in mails begin with the public URL.
func TestPublicURLIsValidated(t *testing.T) {
	t.Parallel()
	for value, good := range map[string]bool{
		"http://127.0.0.1:8080": true, "https://realmgate.example": true, "https://example.com/realmgate/": true,
		"example.com": false, "javascript:alert(1)": false, "https://": false, "https://example.com/?a=b": false,
		"https://example.com/#x": false, "ftp://example.com": false,
	} {
		var c users.Config
		c.Mail.PublicURL = value
		if err := c.Mail.Validate(); strings.Contains(fmt.Sprint(err), "PUBLIC_URL must be") == good {
			t.Errorf("PUBLIC_URL=%q: got %v", value, err)
		}
	}
}

func TestConfigErrorsContainNoSecret(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	good := []string{"DATABASE_URL=postgres://x", "INTERNAL_KEYS=" + strings.Repeat("k", 32), "KEY_ENCRYPTION_KEY=" + key,
		"OTEL_TRACES_EXPORTER=otlp"}
	for _, password := range testkit.RawPasswords() {
		for _, set := range []string{
			"SMTP_URL=smtp://u:" + password + "@host:587?tls=off", "DATABASE_URL=postgres://u:" + password + "@host/db",
			"REDIS_URL=redis://" + password + "@host",
			"NATS_URL=nats://" + password + "@host", "INTERNAL_KEYS=" + password, "KEY_ENCRYPTION_KEY=" + password,
			"OTEL_EXPORTER_OTLP_HEADERS=key=" + password,
			"OTEL_EXPORTER_OTLP_HEADERS=" + password, "OTEL_EXPORTER_OTLP_ENDPOINT=http://u:" + password + "@host",
			"ADMIN_PASSWORD=" + password,
			"SMTP_URL_FILE=smtp://u:" + password + "@host", "ADMIN_PASSWORD_FILE=" + password,
		} {
			name, _, _ := strings.Cut(set, "=")
			err := config.Load(&users.Config{}, append(good, set))
			if err != nil && (testkit.Leaks(err.Error()) || !strings.Contains(err.Error(), name)) {
				t.Errorf("%s: %v", set, err)
			}
			if err == nil && strings.Contains(set, "_URL=") && strings.ContainsAny(password, "@/?#%[] \\\t") {
				t.Errorf("%s was taken", set)
			}
		}
	}
}

func TestConfigErrorNamesOnlyTheInvalidSetting(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for set, says := range map[string]string{
		"USERS_INTERNAL_KEYS=x":      "USERS_INTERNAL_KEYS: every internal key must",
		"INTERNAL_KEYS=x":            "INTERNAL_KEYS: every internal key must",
		"KEY_ENCRYPTION_KEY=x":       "KEY_ENCRYPTION_KEY: every key must",
		"SMTP_URL=mail.example":      "SMTP_URL is not a URL such as",
		"TWOFACTOR_LOGIN_TTL=0s":     "TWOFACTOR_LOGIN_TTL must be",
		"REFRESH_GRACE=-1s":          "REFRESH_GRACE must",
		"PASSWORD_HASH_TIME=0":       "PASSWORD_HASH_TIME must be",
		"PASSWORD_HASH_THREADS=0":    "PASSWORD_HASH_THREADS must be",
		"PASSWORD_HASH_MEMORY_KIB=7": "PASSWORD_HASH_MEMORY_KIB must be",
		"PASSWORD_HASH_PARALLEL=-1":  "PASSWORD_HASH_PARALLEL must",
		"LOG_REQUESTS=some":          "LOG_REQUESTS must be",
		"ADMIN_EMAIL=a@example.com":  "ADMIN_EMAIL and ADMIN_PASSWORD belong together",
	} {
		err := config.Load(&users.Config{},
			[]string{"DATABASE_URL=postgres://x", "USERS_INTERNAL_KEYS=" + strings.Repeat("k", 32), "KEY_ENCRYPTION_KEY=" + key,
				set})
		if err == nil || !strings.HasPrefix(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line that begins with %q", set, err, says)
		}
	}
}
