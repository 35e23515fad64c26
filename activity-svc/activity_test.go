package activity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

func TestARecordIsServedAsTheContractHasIt(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user := newUser()
	e := event.Request{
		ID: id.New(time.Now()), UserID: user.UserID, RealmID: "507f1f77bcf86cd799439011", Method: "PATCH",
		Path:   "/api/v1/vault/keys/é",
		Status: 201, IPAddress: "2001:db8::1", UserAgent: "Mozilla/5.0 <b>",
		RequestID: "a-request", DurationMS: 12, Auth: event.AuthSession, AuthID: user.SessionID,
	}
	h.publish(e)
	h.drained()
	a := h.get(user, logPath)
	want := fmt.Sprintf(`{"statusCode":200,"message":"Activity logs retrieved successfully","data":[{"id":"%s","user_id":"%s",`+
		`"realm_id":"507f1f77bcf86cd799439011","method":"PATCH","path":"/api/v1/vault/keys/é","status_code":201,"ip_address":"2001:db8::1",`+
		`"user_agent":"Mozilla/5.0 <b>","created_at":"%s","request_id":"a-request","duration_ms":12,"auth":"session","auth_id":"%s"}],"metadata":{"total":1,"page":1,"limit":50,"pages":1}}`,
		e.ID, e.UserID, e.At().Format("2006-01-02T15:04:05.000Z"), user.SessionID)
	if a.body != want {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
	bytes := fixedBytes + 12 + len(e.Method) + len(e.Path) + len(e.IPAddress) + len(e.UserAgent)
	want = fmt.Sprintf(`{"statusCode":200,"message":"Activity stats retrieved successfully","data":{"total_size_bytes":%d,"total_records":1,`+
		`"oldest_record":"%[2]s","newest_record":"%[2]s","retention_days":365}}`, bytes,
		e.At().Format("2006-01-02T15:04:05.000Z"))
	if a := h.get(user, logPath+"/stats"); a.body != want {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
	for path, want := range map[string]string{
		logPath: `{"statusCode":200,"message":"Activity logs retrieved successfully","data":[],"metadata":{"total":0,"page":1,"limit":50,"pages":0}}`,
		logPath + "/stats": `{"statusCode":200,"message":"Activity stats retrieved successfully","data":{"total_size_bytes":0,"total_records":0,` +
			`"oldest_record":null,"newest_record":null,"retention_days":365}}`,
	} {
		if a := h.get(newUser(), path); a.body != want {
			t.Errorf("another user's %s: got %s\nwant %s", path, a.body, want)
		}
	}
}

func TestQueryParametersOutOfBoundsAreNamed(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user := newUser()
	for query, names := range map[string]string{
		"page=0": "/page", "page=10002": "/page", "page=-1": "/page", "page=1.5": "/page", "page=": "/page",
		"page=+1": "/page", "page=x": "/page",
		"page=99999999999999999999": "/page",
		"limit=0":                   "/limit", "limit=101": "/limit", "limit=ten": "/limit", "limit=": "/limit",
		"limit=%00":            "/limit",
		"start_date=yesterday": "/start_date", "start_date=": "/start_date", "start_date=2026-02-30": "/start_date",
		"start_date=2026-1-1":   "/start_date",
		"start_date=1700000000": "/start_date", "end_date=2026-01-01T25:00:00Z": "/end_date",
		"end_date=2026-01-01T00:00:00": "/end_date",
		"end_date=%ff":                 "/end_date", "start_date=2016-12-30T23:59:60Z": "/start_date",
		"end_date=2016-12-31T23:59:61Z":             "/end_date",
		"start_date=2026-01-02&end_date=2026-01-01": "/end_date", "start_date=1960-01-02&end_date=1960-01-01": "/end_date",
		"errors_only=1": "/errors_only", "errors_only=TRUE": "/errors_only", "errors_only=": "/errors_only",
		"min_status=99": "/min_status", "min_status=600": "/min_status", "max_status=99": "/max_status",
		"max_status=600": "/max_status",
		"max_status=abc": "/max_status", "min_status=500&max_status=499": "/min_status",
		"method=get": "/method", "method=HEAD": "/method", "method=": "/method", "method=GET,POST": "/method",
		"realm_id=x": "/realm_id", "realm_id=": "/realm_id", "realm_id=507f1f77bcf86cd79943901": "/realm_id",
		"realm_id=507f1f77bcf86cd79943901g": "/realm_id",
		"page=0&limit=0&method=x":           "/page /limit /method",
	} {
		a := h.get(user, logPath+"?"+query)
		var got []string
		for _, part := range strings.Split(string(a.Data), `"instancePath":"`)[1:] {
			name, _, _ := strings.Cut(part, `"`)
			got = append(got, name)
		}
		if a.StatusCode != http.StatusBadRequest || a.Code != "VALIDATION_ERROR" || strings.Join(got, " ") != names {
			t.Errorf("?%s: got %d %v, want 400 naming %s: %s", query, a.StatusCode, got, names, a.body)
		}
	}
	for _, query := range []string{
		"page=10001", "limit=100", "limit=1", "errors_only=false", "errors_only=true&max_status=399",
		"min_status=100&max_status=599", "method=DELETE",
		"realm_id=507F1F77BCF86CD799439011", "start_date=2026-01-01&end_date=2026-01-01",
		"start_date=0001-01-01&end_date=9999-12-31",
		"start_date=2016-12-31T23:59:60Z", "start_date=2026-01-01T00:00:00%2B02:00",
		"start_date=9999-12-31T23:59:59.999999999Z", "unknown=1",
	} {
		if a := h.get(user, logPath+"?"+query); a.StatusCode != http.StatusOK || a.Metadata.Total != 0 {
			t.Errorf("?%s: got %s, want an empty page", query, a.body)
		}
	}
}

func TestWhoMayRead(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user := newUser()
	realm, other := "507f1f77bcf86cd799439011", "507f1f77bcf86cd799439012"
	e := at(time.Now(), user, "GET", 200)
	e.RealmID = realm
	h.publish(e, at(time.Now(), user, "GET", 200))
	h.drained()
	token := func(g *auth.Grant, host string) auth.Identity {
		return auth.Identity{Kind: auth.Token, UserID: user.UserID, TokenID: id.New(time.Now()), Grant: g, Realm: host}
	}
	onHost := user
	onHost.Realm = realm
	banned := user
	banned.Banned = true
	for _, c := range []readCase{
		{"a caller without an identity", auth.Identity{}, "", 401, "MISSING_TOKEN", 0},
		{"an anonymous caller", auth.Identity{Kind: auth.Anonymous}, "", 401, "MISSING_TOKEN", 0},
		{"the gateway itself", auth.Identity{Kind: auth.System}, "", 401, "MISSING_TOKEN", 0},
		{"a session", user, "", 200, "", 2},
		{"a session that asks for a realm in upper case", user, "?realm_id=" + strings.ToUpper(realm), 200, "", 1},
		{"a session on the realm's host", onHost, "", 200, "", 1},
		{"a session on the realm's host that asks for it", onHost, "?realm_id=" + realm, 200, "", 1},
		{"a session on a realm's host that asks for another", onHost, "?realm_id=" + other, 400, "VALIDATION_ERROR", 0},
		{"a banned session", banned, "", 403, "ACCOUNT_BANNED", 0},
		{"a token with event access", token(&auth.Grant{EventAccess: true, AllowNoRealm: true}, ""), "", 200, "", 2},
		{"a token without event access", token(&auth.Grant{}, ""), "", 403, "INSUFFICIENT_PERMISSIONS", 0},
		{"a token without a grant", token(nil, ""), "", 403, "INSUFFICIENT_PERMISSIONS", 0},
		{"a token of the realm on its host", token(&auth.Grant{EventAccess: true, Realms: []string{realm}}, realm), "", 200,
			"", 1},
		{"a token of the realm that asks for it", token(&auth.Grant{EventAccess: true, Realms: []string{realm}}, ""),
			"?realm_id=" + realm, 200, "", 1},
		{"a token of the realm outside of it",
			token(&auth.Grant{EventAccess: true, AllowNoRealm: true, Realms: []string{realm}}, ""), "", 403,
			"REALM_SCOPE_REQUIRED", 0},
		{"a token of the realm on another's host", token(&auth.Grant{EventAccess: true, Realms: []string{realm}}, other), "",
			403, "REALM_NOT_ALLOWED", 0},
		{"a token of the realm that asks for another", token(&auth.Grant{EventAccess: true, Realms: []string{realm}}, ""),
			"?realm_id=" + other, 403, "REALM_NOT_ALLOWED", 0},
		{"a token that needs a realm, in any", token(&auth.Grant{EventAccess: true}, realm), "", 200, "", 1},
		{"a token that needs a realm, without", token(&auth.Grant{EventAccess: true}, ""), "", 403, "REALM_SCOPE_REQUIRED",
			0},
	} {
		c.check(h)
	}
}

// readCase is a request for a log, and for its statistics where it has no query, and its answer.
type readCase struct {
	name   string
	user   auth.Identity
	query  string
	status int
	code   string
	total  int
}

func (c readCase) check(h *harness) {
	h.t.Helper()
	a := h.get(c.user, logPath+c.query)
	if a.StatusCode != c.status || a.Code != c.code || a.Metadata.Total != c.total {
		h.t.Errorf("%s: got %s, want %d %s and %d records", c.name, a.body, c.status, c.code, c.total)
	}
	if c.query != "" {
		return
	}
	a = h.get(c.user, logPath+"/stats")
	if a.StatusCode != c.status || a.Code != c.code ||
		(c.status == 200 && !strings.Contains(a.body, fmt.Sprintf(`"total_records":%d,`, c.total))) {
		h.t.Errorf("%s: stats: got %s, want %d %s and %d records", c.name, a.body, c.status, c.code, c.total)
	}
}

func TestRealmsOfAUser(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user, system := newUser(), auth.Identity{Kind: auth.System}
	realms := []string{"507f1f77bcf86cd799439012", "507f1f77bcf86cd799439011", "", "507f1f77bcf86cd799439011"}
	for _, realm := range realms {
		e := at(time.Now(), user, "GET", 200)
		e.RealmID = realm
		h.publish(e)
	}
	h.drained()
	size := fixedBytes + 12 + len("GET") + len("/api/v1/vault/keys") + len("192.0.2.7") + len("test/1")
	want := fmt.Sprintf(`{"realms":[{"realm_id":"507f1f77bcf86cd799439011","count":2,"size_bytes":%d},{"realm_id":"507f1f77bcf86cd799439012","count":1,"size_bytes":%d}]}`, 2*size, size)
	if a := h.get(system, "/internal/realms?user_id="+user.UserID); a.body != want {
		t.Errorf("got %s\nwant %s", a.body, want)
	}
	if a := h.get(system, "/internal/realms?user_id="+newUser().UserID); a.body != `{"realms":[]}` {
		t.Errorf("a user without records: %s", a.body)
	}
	for _, query := range []string{"", "?user_id=", "?user_id=x",
		"?user_id=" + strings.ToUpper("507f1f77bcf86cd799439011")} {
		if a := h.get(system, "/internal/realms"+query); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: got %s", query, a.body)
		}
	}
	if a := h.get(user, "/internal/realms?user_id="+user.UserID); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a user asks: got %s", a.body)
	}
}

// TestRealmListIsLimitedToTheLastUsed: each request may name another realm, and the answer must not
// grow with the number of realms.
func TestRealmListIsLimitedToTheLastUsed(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user := newUser()
	h.query(`INSERT INTO activity_daily (user_id, day, realm_id, method, status, records, bytes)
		SELECT decode($1, 'hex'), CASE WHEN n <= 5 THEN '2020-01-01'::date ELSE '2020-02-01' END, decode(lpad(n::text, 24, '0'), 'hex'), 'GET', 200, 1, 100
		FROM generate_series(1, $2::int) AS n`, user.UserID, maxRealms+4)
	h.query(`INSERT INTO activity_daily (user_id, day, realm_id, method, status, records, bytes)
		SELECT decode($1, 'hex'), $2, decode(lpad('2', 24, '0'), 'hex'), 'GET', 200, 1, 100`, user.UserID, timerange.DayOf(time.Now()).AddDate(0, 0, -1))
	now := at(time.Now(), user, "GET", 200)
	now.RealmID = "507f1f77bcf86cd799439011"
	h.publish(now)
	h.drained()
	a := h.get(auth.Identity{Kind: auth.System}, "/internal/realms?user_id="+user.UserID)
	var got internalapi.RealmList
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range got.Realms[:4] {
		order = append(order, strings.TrimLeft(r.RealmID, "0"))
	}
	if last := got.Realms[len(got.Realms)-1].RealmID; len(got.Realms) != maxRealms ||
		strings.Join(order, " ") != now.RealmID+" 2 6 7" || strings.TrimLeft(last, "0") != "10003" {
		t.Errorf("got %d realms, %v first, %s last", len(got.Realms), order, last)
	}
	if n := got.Realms[1].Count; n != 2 {
		t.Errorf("%d records in a realm of two times, want 2", n)
	}
}

func TestAReadWaitsForNoPartitionOfAnotherDay(t *testing.T) {
	t.Parallel()
	h, _ := start(t, func(c *Config) { c.DB.Timeout = 2 * time.Second })
	user := newUser()
	h.publish(at(time.Now(), user, "GET", 200), at(time.Now().Add(-3*timerange.Day), user, "GET", 200))
	h.drained()
	tx, err := openStore(t, h.cfg.DB.URL.Reveal()).pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	var other string
	err = tx.QueryRow(t.Context(),
		`SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'activity'::regclass`).Scan(&other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE `+other); err != nil { // as dropping it does
		t.Fatal(err)
	}
	day := time.Now().UTC().Format(time.DateOnly)
	for range 10 { // a plan that is kept is chosen after the fifth time
		for _, query := range []string{"?start_date=" + day, "?method=GET&start_date=" + day,
			"?page=2&limit=1&start_date=" + day} {
			if a := h.get(user, logPath+query); a.StatusCode != 200 {
				t.Fatalf("%s while %s is locked: %d %s", query, other, a.StatusCode, a.body)
			}
		}
	}
}

func TestPagesNeverExceedTheLastOneThatMayBeAsked(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user := newUser()
	yesterday := time.Now().AddDate(0, 0, -1)
	h.eventually("yesterday is counted", func() error {
		if n := h.query(`SELECT count(*) FROM activity_watermark WHERE counted_before > now() - interval '1 minute'`); n != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	h.publish(at(yesterday, user, "GET", 200))
	h.drained()
	h.query(`UPDATE activity_daily SET records = 10002`) // as if there were that many
	if a := h.get(user, logPath+"?limit=1"); a.Metadata.Pages != 10001 || a.Metadata.Total != 10002 {
		t.Errorf("got %+v", a.Metadata)
	}
}
