package users_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestNoCredentialIsLogged(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	all := &testkit.Buffer{}
	h.log = slog.New(slog.NewJSONHandler(all, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.baseURL = h.startReplica()
	ann := h.signUp()
	next := h.refresh(ann.refresh).mustStatus(200).text("refreshToken")
	h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id,
		map[string]string{"password": "Another-horse-2", "current_password": password}).mustStatus(200)
	h.tryLogin("198.51.100.7", ann.email, "Wrong-horse-1").mustStatus(401)
	h.do(anonymous, "POST", loginPath, `{"email":"`+ann.email+`","password":"Broken-horse-1`).mustStatus(400)
	h.redis.Stop()
	h.broker.Stop()
	h.do(ann.identity, "POST", logoutPath, nil).mustStatus(200)
	for _, secret := range []string{password, "Another-horse-2", "Wrong-horse-1", "Broken-horse-1", ann.refresh, next,
		ann.token, ann.email, "$argon2id", keyEncryptionKey, internalKey} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	if all.String() == "" {
		t.Error("nothing was logged: the test looks at the wrong place")
	}
}
