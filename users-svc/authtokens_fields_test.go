package users_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/sessionstate"
)

func TestTokenFieldsRoundTrip(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	key := strings.Repeat("aB", 32)
	body := map[string]any{
		"alias": "CI job_1-x", "public_key": key, "public_storage": map[string]any{"b": []int{1}, "a": "\x00é"},
		"ip_whitelist": "10.0.0.7, 192.0.2.9/24,2001:db8::1/32,::1,::ffff:10.0.0.7",
		"realm_ids":    []string{strings.ToUpper(realmA), realmA, realmB}, "allow_no_realm": false, "vault_access": true,
		"event_access": false,
		"permissions":  map[string]any{"resources": map[string]any{"vault": true, "other": false}, "containers": true},
		"expires_at":   "2999-12-31T23:59:59+01:00",
	}
	a := h.do(me.identity, "POST", tokens, body).mustStatus(201)
	for path, want := range map[string]string{
		"alias": "CI job_1-x", "public_key": key, "ip_whitelist": "[10.0.0.7 192.0.2.0/24 2001:db8::/32 ::1]",
		"realm_ids":      "[" + realmA + " " + realmB + "]",
		"allow_no_realm": "false", "vault_access": "true", "event_access": "false",
		"permissions": "map[containers:true resources:map[other:false vault:true]]",
		"expires_at":  "2999-12-31T22:59:59.000Z", "public_storage": "map[a:\x00é b:[1]]",
	} {
		if got := fmt.Sprint(a.field(path)); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	one := h.do(me.identity, "GET", tokens+"/"+a.text("id"), nil).mustStatus(200)
	delete(a.data.(map[string]any), "token")
	if fmt.Sprint(one.data) != fmt.Sprint(a.data) {
		t.Errorf("read again: got %v, want %v", one.data, a.data)
	}
	s := h.stateOfID(one.text("id"))
	if got, want := fmt.Sprint(s.Token.Grant, s.Token.IPWhitelist),
		"{true false ["+realmA+" "+realmB+"] false [resources.vault containers.read containers.create] <nil>} [10.0.0.7 192.0.2.0/24 2001:db8::/32 ::1]"; got != want {
		t.Errorf("grant: got %s, want %s", got, want)
	}
	change := h.do(me.identity, "PUT", tokens+"/"+a.text("id"), `{"alias":"other","public_key":null,"public_storage":null,"ip_whitelist":"*","realm_ids":[],
		"allow_no_realm":true,"vault_access":false,"event_access":true,"permission_template":"read_only","expires_at":null,"is_enabled":false}`).
		want(200, "", "Auth token updated successfully")
	for path, want := range map[string]string{
		"alias": "other", "public_key": "<nil>", "public_storage": "<nil>", "ip_whitelist": "[*]", "realm_ids": "[]",
		"allow_no_realm": "true", "vault_access": "false",
		"event_access": "true", "expires_at": "<nil>", "is_enabled": "false", "permissions.resources.read_account": "true",
		"permissions.resources.vault": "<nil>",
	} {
		if got := fmt.Sprint(change.field(path)); got != want {
			t.Errorf("changed %s: got %s, want %s", path, got, want)
		}
	}
}

// stateOfID returns the state of a token by its id, for tests that do not have its secret.
func (h *harness) stateOfID(tokenID string) sessionstate.State {
	h.t.Helper()
	var s sessionstate.State
	hash := query[string](h, `SELECT encode(hash, 'hex') FROM auth_tokens WHERE id = $1`, tokenID)
	if err := json.Unmarshal(h.do(system, "GET", "/internal/tokens/"+hash, nil).mustStatus(200).body, &s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// wrongTypes are values that the fields of an auth token do not take, by the field's name.
var wrongTypes = map[string][]any{
	"alias": {1, true, nil, []string{"a"}, map[string]any{}}, "public_key": {1, true, []string{}, map[string]any{}},
	"public_storage": {1, true, "x", []int{}},
	"ip_whitelist":   {1, true, nil, map[string]any{}, []any{1}, []any{nil}},
	"realm_ids":      {1, true, nil, "x", map[string]any{}, []any{1}, realmA},
	"allow_no_realm": {"true", "x", []int{}, map[string]any{}}, "vault_access": {0, 1, nil, "true"},
	"vault_read_only": {0, nil, "true"}, "vault_prefixes": {1, true, nil, "a.", map[string]any{}, []any{1}, []any{nil}},
	"event_access":        {"", nil, 1},
	"permission_template": {1, nil, true, "root", "", []string{"full_access"}},
	"expires_at": {true, []int{}, map[string]any{}, "soon", "", "2026-02-30", "NaN", "Infinity", 1e300,
		"99999-01-01"},
	"permissions": {1, true, nil, "x", []int{}, map[string]any{"a": 1}, map[string]any{"a": nil},
		map[string]any{"a": map[string]any{"b": "true"}}, map[string]any{"a.b": true}, map[string]any{"": true}},
	"otp_code": {1, nil, true, "12345", strings.Repeat("1", 13)},
}

func TestTokenFieldOfWrongTypeIsRefused(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, _ := h.createToken(me.identity, nil)
	for field, values := range wrongTypes {
		for _, v := range values {
			for _, route := range [][2]string{{"POST", tokens}, {"PATCH", tokens + "/" + tokenID}} {
				a := h.do(me.identity, route[0], route[1], map[string]any{field: v}).want(400, "VALIDATION_ERROR",
					"Validation failed")
				if !strings.Contains(string(a.body), `"instancePath":"/`+field) {
					t.Errorf("%s %s=%v: got %s, want the field named", route[0], field, v, a.body)
				}
			}
		}
	}
	h.do(me.identity, "PATCH", tokens+"/"+tokenID, `{"is_enabled":"no"}`).want(400, "VALIDATION_ERROR", "")
}

func TestTokenFieldOfWrongValueIsRefused(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, _ := h.createToken(me.identity, nil)
	for _, c := range []struct{ field, value, code string }{
		{"alias", `""`, "INVALID_ALIAS_FORMAT"}, {"alias", `"a.b"`, "INVALID_ALIAS_FORMAT"},
		{"alias", `"a\n"`, "INVALID_ALIAS_FORMAT"}, {"alias", `"a\u0000"`, "INVALID_ALIAS_FORMAT"},
		{"alias", `"` + strings.Repeat("a", 255) + `"`, "INVALID_ALIAS_FORMAT"},
		{"public_key", `"abc"`, "INVALID_PUBLIC_KEY_FORMAT"},
		{"ip_whitelist", `["10.0.0.256"]`, "INVALID_IP_FORMAT"}, {"ip_whitelist", `"10.0.0.1,"`, ""},
		{"ip_whitelist", `"10.0.0.1/33"`, "INVALID_IP_FORMAT"},
		{"ip_whitelist", `["fe80::1%eth0"]`, "INVALID_IP_FORMAT"}, {"ip_whitelist", `["*","nonsense"]`, "INVALID_IP_FORMAT"},
		{"realm_ids", `["xyz"]`, "INVALID_REALM_ID_FORMAT"}, {"realm_ids", `[""]`, "INVALID_REALM_ID_FORMAT"},
		{"expires_at", `1`, "EXPIRATION_IN_PAST"}, {"expires_at", `-5`, "EXPIRATION_IN_PAST"},
		{"expires_at", `"2001-01-01"`, "EXPIRATION_IN_PAST"},
		{"expires_at", `"2001-01-01T00:00:00Z"`, "EXPIRATION_IN_PAST"}, {"expires_at", `1500000000000`, "EXPIRATION_IN_PAST"},
	} {
		if a := h.do(me.identity, "PATCH", tokens+"/"+tokenID, `{"`+c.field+`":`+c.value+`}`); c.code != "" {
			a.want(400, c.code, "")
		} else {
			a.want(200, "", "")
		}
	}
	deep := strings.Repeat(`{"a":`, 9) + "true" + strings.Repeat("}", 9)
	h.do(me.identity, "POST", tokens, `{"permissions":`+deep+`}`).want(400, "VALIDATION_ERROR", "")
	many := make([]string, 501)
	for i := range many {
		many[i] = fmt.Sprintf(`"p%d":true`, i)
	}
	h.do(me.identity, "POST", tokens, `{"permissions":{`+strings.Join(many, ",")+`}}`).want(400, "VALIDATION_ERROR", "")
	h.do(me.identity, "POST", tokens, `{"public_storage":{"a":"`+strings.Repeat("x", 64<<10)+`"}}`).want(400,
		"VALIDATION_ERROR", "")
	for _, body := range []string{`[]`, `"x"`, `{"alias":`, "{\"alias\":\"\xff\"}", "\x00"} {
		h.do(me.identity, "POST", tokens, body).want(400, "VALIDATION_ERROR", "")
	}
}

func TestTokenExpiryFormats(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	now := h.clock.now().UTC()
	end := func(days int) string { return now.AddDate(0, 0, days).Format("2006-01-02") + "T23:59:59.999Z" }
	for name, c := range map[string]struct{ sent, want string }{
		"ISO":            {`"2999-01-02T03:04:05.678Z"`, "2999-01-02T03:04:05.678Z"},
		"without a zone": {`"2999-01-02T03:04:05"`, "2999-01-02T03:04:05.000Z"},
		"a date":         {`"2999-01-02"`, "2999-01-02T23:59:59.999Z"}, "today": {`"today"`, end(0)},
		"tomorrow":             {`"tomorrow"`, end(1)},
		"seconds":              {`4102444800`, "2100-01-01T00:00:00.000Z"},
		"seconds in a string":  {`"4102444800"`, "2100-01-01T00:00:00.000Z"},
		"leap second":          {`"2998-12-31T23:59:60Z"`, "2999-01-01T00:00:00.000Z"},
		"leap second, no zone": {`"2998-06-30T23:59:60.5"`, "2998-07-01T00:00:00.500Z"},
		"milliseconds":         {`4102444800123`, "2100-01-01T00:00:00.123Z"}, "never": {`null`, ""},
	} {
		a := h.do(me.identity, "POST", tokens, `{"expires_at":`+c.sent+`}`).mustStatus(201)
		if got, _ := a.field("expires_at").(string); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestPermissionTemplates(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	list := h.do(me.identity, "GET", tokens+"/templates", nil).want(200, "",
		"Token templates retrieved successfully").data.([]any)
	var names []string
	for _, v := range list {
		template := v.(map[string]any)
		name := template["name"].(string)
		names = append(names, name)
		a := h.do(me.identity, "POST", tokens,
			map[string]any{"permission_template": name,
				"permissions": map[string]any{"resources": map[string]any{"x": true}}}).mustStatus(201)
		if fmt.Sprint(a.field("permissions")) != fmt.Sprint(template["permissions"]) {
			t.Errorf("%s: got %v, want %v", name, a.field("permissions"), template["permissions"])
		}
	}
	if got, want := fmt.Sprint(names), "[full_access external_customer dev_team finance_team read_only]"; got != want {
		t.Errorf("names: got %s, want %s", got, want)
	}
}
