package users_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/users-svc"
	"github.com/realmgate/realmgate/users-svc/internal/freetier"
)

// inventory sets the free-tier servers.
func inventory(t testing.TB, setting string) func(*users.Config) {
	return func(c *users.Config) {
		if err := c.FreeTierServers.UnmarshalText([]byte(setting)); err != nil {
			t.Fatal(err)
		}
	}
}

// query runs SQL in the service's schema and returns the one selected value.
func query[T any](h *harness, sql string, args ...any) T {
	h.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, h.cfg.DB.URL.Reveal())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET search_path TO users_svc"); err != nil {
		h.t.Fatal(err)
	}
	var v T
	if err := conn.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		h.t.Fatal(err)
	}
	return v
}

// insertUsers inserts n accounts without a usable password and returns their identities.
func (h *harness) insertUsers(n int) []auth.Identity {
	h.t.Helper()
	who := make([]auth.Identity, n)
	for i := range who {
		who[i] = auth.Identity{Kind: auth.Session, UserID: id.New(time.Now()), SessionID: id.New(time.Now()),
			ClientAddr: "192.0.2.7"}
		query[string](h, `INSERT INTO users (id, username, email, email_key, alias, password_hash, email_verified, signup_method, created_at, updated_at)
			VALUES ($1, $1, $1, $1, 'Newcomer', '-', true, 'email', now(), now()) RETURNING id`, who[i].UserID)
	}
	return who
}

const retrySetup = "/api/v1/users/me/retry-setup"

func TestRetrySetupClaimsOnce(t *testing.T) {
	t.Parallel()
	h := start(t, inventory(t, "eu-west:DE:Frankfurt:100"))
	other := h.startReplica()
	who := h.insertUsers(1)[0]
	var wait sync.WaitGroup
	answers := make([]*response, 50)
	for i := range answers {
		url := []string{h.baseURL, other}[i%2]
		wait.Go(func() { answers[i] = h.doAt(url, who, "POST", retrySetup, nil) })
	}
	wait.Wait()
	first := answers[0].mustStatus(200).want(200, "", "Account setup completed")
	for _, a := range answers {
		if string(a.body) != string(first.body) {
			t.Fatalf("two callers got different answers:\n%s\n%s", first.body, a.body)
		}
	}
	if got, want := first.text("server.name")+" "+first.text("project.alias")+" "+first.text("container.name"),
		"eu-west-1 Default default"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if first.field("blocked_reason") != nil || first.field("server.is_ready") != true {
		t.Errorf("got %s, want a ready server and no blocked_reason", first.body)
	}
	got := query[string](h, `SELECT concat_ws(' ', (SELECT sum(claimed) FROM servers), (SELECT count(*) FROM projects), (SELECT count(*) FROM containers))`)
	if got != "1 1 1" {
		t.Errorf("claimed, projects, containers: got %s, want 1 1 1", got)
	}
}

func TestFreeTierIsNotOversold(t *testing.T) {
	t.Parallel()
	h := start(t, inventory(t, "eu-west:DE:Frankfurt:3;eu-west:DE:Frankfurt:2;us-east:US:Ashburn:4"))
	who := h.insertUsers(40)
	var wait sync.WaitGroup
	answers := make([]*response, len(who))
	for i := range who {
		wait.Go(func() { answers[i] = h.do(who[i], "POST", retrySetup, `{}`) })
	}
	wait.Wait()
	served := map[string]int{}
	for _, a := range answers {
		a.mustStatus(200)
		if a.field("server") != nil {
			served[a.text("server.name")]++
			continue
		}
		if a.field("blocked_reason") != "admin_recovery_required" || a.field("project") != nil ||
			a.field("container") != nil {
			t.Errorf("without capacity: got %s, want three nulls and admin_recovery_required", a.body)
		}
	}
	if got, want := fmt.Sprint(served), "map[eu-west-1:3 eu-west-2:2 us-east-1:4]"; got != want {
		t.Errorf("accounts by server: got %s, want %s", got, want)
	}
	if got := query[int](h, `SELECT sum(claimed)::int FROM servers`); got != 9 {
		t.Errorf("claimed: got %d, want 9", got)
	}
}

func TestClaimStaysInRegion(t *testing.T) {
	t.Parallel()
	h := start(t, inventory(t, "eu-west:DE:Frankfurt:1;us-east:US:Ashburn:5"))
	who := h.insertUsers(3)
	region := func(i int) any {
		return h.do(who[i], "POST", retrySetup, `{"region":"eu-west"}`).mustStatus(200).field("server.region")
	}
	if a, b := region(0), region(1); a != "eu-west" || b != nil {
		t.Errorf("one place in eu-west: got %v and %v, want eu-west and nothing", a, b)
	}
	if a := h.do(who[1], "POST", retrySetup, nil).mustStatus(200); a.field("server.region") != "us-east" {
		t.Errorf("without a region: got %s, want us-east", a.body)
	}
	if a := h.do(who[1], "POST", retrySetup,
		`{"region":"eu-west"}`).mustStatus(200); a.field("server.region") != "us-east" {
		t.Errorf("afterwards: got %s, want what exists", a.body)
	}
	regions := h.do(anonymous, "GET", "/api/v1/auth/available-regions", nil).want(200, "",
		"Available regions retrieved successfully")
	if got, want := fmt.Sprint(regions.field("regions")),
		"[map[available:false city:Frankfurt country:DE region:eu-west] map[available:true city:Ashburn country:US region:us-east]]"; got != want {
		t.Errorf("regions: got %s, want %s", got, want)
	}
}

func TestRetrySetupRefusesInvalidRegion(t *testing.T) {
	t.Parallel()
	h := start(t)
	who := h.insertUsers(1)[0]
	for name, body := range map[string]string{
		"a number": `{"region":1}`, "null": `{"region":null}`, "a list": `{"region":["eu-west"]}`,
		"an object": `{"region":{}}`, "true": `{"region":true}`,
		"empty": `{"region":""}`, "upper case": `{"region":"EU-WEST"}`, "a space": `{"region":"eu west"}`,
		"a line end": `{"region":"eu-west\n"}`,
		"NUL":        `{"region":"eu-west\u0000"}`, "51 characters": `{"region":"` + strings.Repeat("a", 51) + `"}`,
		"unknown": `{"region":"mars-1"}`,
	} {
		a := h.do(who, "POST", retrySetup, body).want(400, "VALIDATION_ERROR", "Validation failed")
		if !strings.Contains(string(a.body), `"instancePath":"/region"`) {
			t.Errorf("%s: got %s, want /region named", name, a.body)
		}
	}
	h.do(who, "POST", retrySetup, `[]`).want(400, "VALIDATION_ERROR", "")
	h.do(who, "POST", retrySetup, `{"region":"eu-`+"\xff"+`"}`).want(400, "VALIDATION_ERROR", "")
	h.do(anonymous, "POST", retrySetup, nil).want(401, "MISSING_TOKEN", "")
	if got := query[int](h, `SELECT count(*)::int FROM server_claims`); got != 0 {
		t.Errorf("claims: got %d, want none", got)
	}
}

func TestFreeTierStatusPredictsClaim(t *testing.T) {
	t.Parallel()
	h := start(t, inventory(t, "eu-west:DE:Frankfurt:1"))
	who := h.insertUsers(2)
	status := func(i int) string {
		a := h.do(who[i], "GET", "/api/v1/users/me/free-tier-status", nil).want(200, "", "Free-tier status retrieved")
		return strings.TrimSpace(fmt.Sprintln(a.field("gate_enabled"), a.field("unlocked"), a.field("has_free_server"),
			a.field("can_claim"),
			a.field("claim_blocked_reason"), a.field("signup_code_failed")))
	}
	check := func(when, got, want string) {
		if t.Helper(); got != want {
			t.Errorf("%s: got %s, want %s", when, got, want)
		}
	}
	check("before", status(0), "false true false true none false")
	h.do(who[0], "POST", retrySetup, nil).mustStatus(200)
	check("with a server", status(0), "false true true false already_claimed false")
	check("when all are taken", status(1), "false true false false pool_empty false")
}

func TestInviteIsRequiredForClaim(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Signup.InviteRequired, c.Signup.InviteCodes = true, "let-me-in" })
	who := h.insertUsers(2)
	query[string](h, `UPDATE users SET invited = true WHERE id = $1 RETURNING id`, who[0].UserID)
	query[string](h, `UPDATE users SET signup_code_failed = true WHERE id = $1 RETURNING id`, who[1].UserID)
	if a := h.do(who[0], "POST", retrySetup, nil).mustStatus(200); a.field("server") == nil {
		t.Errorf("invited: got %s, want a server", a.body)
	}
	a := h.do(who[1], "POST", retrySetup, nil).want(403, "FREE_TIER_INVITE_REQUIRED", "")
	if !strings.Contains(string(a.body), `"error":"FREE_TIER_INVITE_REQUIRED"`) {
		t.Errorf("got %s, want the code in error too", a.body)
	}
	s := h.do(who[1], "GET", "/api/v1/users/me/free-tier-status", nil).mustStatus(200)
	if got := fmt.Sprint(s.field("gate_enabled"), s.field("unlocked"), s.field("can_claim"),
		s.field("signup_code_failed")); got != "true false false true" {
		t.Errorf("status: got %s, want true false false true", got)
	}
}

func TestProjectsAndContainersBelongToCaller(t *testing.T) {
	t.Parallel()
	h := start(t)
	who := h.insertUsers(2)
	setup := h.do(who[0], "POST", retrySetup, nil).mustStatus(200)
	for kind, name := range map[string]string{"containers": "Container", "projects": "Project"} {
		itemID := setup.text(strings.ToLower(name) + ".id")
		one := h.do(who[0], "GET", "/api/v1/"+kind+"/"+itemID, nil).want(200, "", name+" retrieved successfully")
		for _, path := range []string{"/api/v1/" + kind, "/api/v1/" + kind + "/"} {
			list := h.do(who[0], "GET", path, nil).want(200, "", name+"s retrieved successfully")
			if got := list.field(kind).([]any); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(one.data) {
				t.Errorf("%s: got %s, want the one item %s", path, list.body, one.body)
			}
			empty := h.do(who[1], "GET", path+"?page=7&limit=3", nil).mustStatus(200)
			if got, want := string(empty.body),
				`"data":{"`+kind+`":[],"pagination":{"total":0,"page":7,"limit":3,"pages":0}}`; !strings.Contains(got, want) {
				t.Errorf("nobody's %s: got %s, want %s", kind, got, want)
			}
		}
		missing := strings.ToUpper(name) + "_NOT_FOUND"
		h.do(who[1], "GET", "/api/v1/"+kind+"/"+itemID, nil).want(404, missing, name+" not found")
		h.do(who[0], "GET", "/api/v1/"+kind+"/"+id.New(time.Now()), nil).want(404, missing, "")
		h.do(who[0], "GET", "/api/v1/"+kind+"/"+strings.ToUpper(itemID), nil).want(400, "INVALID_ID_FORMAT",
			"Invalid ID format")
		h.do(who[0], "GET", "/api/v1/"+kind+"/?page=0&limit=101", nil).want(400, "VALIDATION_ERROR", "")
		h.do(anonymous, "GET", "/api/v1/"+kind, nil).want(401, "MISSING_TOKEN", "")
	}
}

func TestProvisioningByTokenNeedsPermission(t *testing.T) {
	t.Parallel()
	h := start(t)
	session := h.insertUsers(1)[0]
	token := func(permissions ...string) auth.Identity {
		return auth.Identity{Kind: auth.Token, UserID: session.UserID, TokenID: id.New(time.Now()),
			Grant: &auth.Grant{Permissions: permissions}}
	}
	for _, c := range []struct{ method, path, permission string }{
		{"POST", retrySetup, "containers.create"}, {"GET", "/api/v1/containers/", "containers.read"},
		{"GET", "/api/v1/projects/", "projects.read"},
		{"GET", "/api/v1/users/me/free-tier-status", "resources.read_account"},
	} {
		h.do(token("resources.vault"), c.method, c.path, nil).want(403, "INSUFFICIENT_PERMISSIONS",
			"Insufficient permissions")
		h.do(token(c.permission), c.method, c.path, nil).mustStatus(200)
	}
}

func TestAdminAddsServers(t *testing.T) {
	t.Parallel()
	h := start(t, inventory(t, "eu-west:DE:Frankfurt:0001"))
	who := h.insertUsers(2)
	admin := who[0]
	admin.Admin = true
	h.do(who[1], "GET", "/api/v1/servers", nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	h.do(who[1], "POST", "/api/v1/servers", `{}`).want(403, "INSUFFICIENT_PERMISSIONS", "")
	a := h.do(admin, "POST", "/api/v1/servers", `{}`).want(400, "VALIDATION_ERROR", "")
	if got := strings.Count(string(a.body), "instancePath"); got != 5 {
		t.Errorf("an empty body: got %s, want five violations", a.body)
	}
	good := map[string]any{"name": "mars-1", "region": "mars", "country": "Mars", "city": "Jezero", "capacity": 1}
	for field, values := range map[string][]any{
		"name": {1, nil, "", strings.Repeat("x", 101), "a\x00"}, "region": {1, "", "Mars", []string{}}, "country": {true, ""},
		"city":     {map[string]any{}, ""},
		"capacity": {"1", 0, -1, 1.5, 1_000_001, nil, true, 1e30},
	} {
		for _, v := range values {
			bad := map[string]any{field: v}
			for name, value := range good {
				if name != field {
					bad[name] = value
				}
			}
			if a := h.do(admin, "POST", "/api/v1/servers", bad).want(400, "VALIDATION_ERROR",
				""); !strings.Contains(string(a.body), `"/`+field) {
				t.Errorf("%s=%v: got %s, want /%s named", field, v, a.body, field)
			}
		}
	}
	h.do(who[1], "POST", retrySetup, `{"region":"mars"}`).want(400, "VALIDATION_ERROR", "")
	h.do(admin, "POST", "/api/v1/servers", good).want(201, "", "Server created successfully")
	h.do(admin, "POST", "/api/v1/servers", good).want(409, "SERVER_EXISTS", "")
	if a := h.do(who[1], "POST", retrySetup, `{"region":"mars"}`).mustStatus(200); a.field("server.city") != "Jezero" {
		t.Errorf("got %s, want the new server", a.body)
	}
	list := h.do(admin, "GET", "/api/v1/servers", nil).want(200, "", "Servers retrieved successfully")
	var got []string
	for _, s := range list.data.([]any) {
		server := s.(map[string]any)
		got = append(got, fmt.Sprint(server["name"], " ", server["used"], "/", server["capacity"]))
	}
	if want := []string{"eu-west-1 0/1", "mars-1 1/1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestInventorySettingErrors(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"eu-west:DE:Frankfurt": "region:country:city:capacity", "EU:DE:Frankfurt:1": "no region",
		"eu::Frankfurt:1":   "needs a country",
		"eu:DE:Frankfurt:0": "capacity", "eu:DE:Frankfurt:x": "capacity",
	} {
		var inv freetier.Inventory
		if err := inv.UnmarshalText([]byte(setting)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", setting, err, want)
		}
	}
}
