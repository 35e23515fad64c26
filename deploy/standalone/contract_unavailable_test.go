package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// contractUnavailable takes the database away from a running product. Requests must be refused
// rather than decided on cached state, and every refusal must say when to retry.
func contractUnavailable(t *testing.T, spec *conformance) {
	database := testkit.Postgres(t)
	r := product(t, spec, "DATABASE_URL="+database)
	u := r.user("una")
	closeDatabase(t, database)
	eventually(t, "a session whose state nobody knows is refused", func() bool {
		a := r.get("/api/v1/users/me", u.Token)
		return a.status == 503 && a.Code == "SERVICE_UNAVAILABLE" && a.header.Get("Retry-After") != ""
	})
	r.do("POST", "/api/v1/users/auth/login", "", map[string]any{"email": u.Email, "password": userPassword}).want(t,
		"login", 503, "SERVICE_UNAVAILABLE")
}

// closeDatabase ends every connection to the database at address and refuses new ones.
func closeDatabase(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range []string{
		"ALTER DATABASE " + pgx.Identifier{name}.Sanitize() + " ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}
