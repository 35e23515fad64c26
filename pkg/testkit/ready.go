package testkit

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ReadyFollowsWrites checks that /readyz at adminAddr answers 503 while the service's database, one
// of [Postgres], is read-only, and 200 before and after.
func ReadyFollowsWrites(t testing.TB, database, adminAddr string) {
	t.Helper()
	cc, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	set := func(change string) {
		t.Helper()
		// A new session is read-only by then, and may change the setting back only after it has
		// made itself writable.
		sql := "SET transaction_read_only = off; ALTER DATABASE " + cc.Database + " " + change
		if err := execute(database, sql); err != nil {
			t.Fatal(err)
		}
	}
	awaitReady(t, adminAddr, http.StatusOK, `"database":"ok"`)
	set("SET default_transaction_read_only = on")
	awaitReady(t, adminAddr, http.StatusServiceUnavailable, "read-only transaction")
	set("RESET default_transaction_read_only")
	awaitReady(t, adminAddr, http.StatusOK, `"database":"ok"`)
}

func awaitReady(t testing.TB, adminAddr string, status int, part string) {
	t.Helper()
	var last string
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + adminAddr + "/readyz")
		if err != nil {
			last = err.Error()
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if last = fmt.Sprintf("%d %s", res.StatusCode, body); res.StatusCode == status && strings.Contains(last, part) {
			return
		}
	}
	t.Fatalf("/readyz: %s, want %d with %s", last, status, part)
}
