package vault

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/auth"
)

const realmA, realmB = "0123456789abcdef01234567", "fedcba987654321001234567"

func TestAnItemIsCreatedUpdatedReadAndDeleted(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()

	r := s.call(u, "PATCH", "/api/v1/vault/keys/note",
		[]byte(`{"value":"first","metadata":{ "b" : [1, 2.50], "a":"é" }}`))
	first := r.item(t)
	if r.status != 201 || r.Status != 201 || r.Message != "Vault key created successfully" || *first.Value != "first" ||
		first.Key != "note" || first.RealmID != "" {
		t.Fatalf("create: got %d %s", r.status, r.raw)
	}
	if want := int64(len(`first{"b":[1,2.50],"a":"é"}`)); first.SizeBytes != want ||
		string(first.Metadata) != `{"b":[1,2.50],"a":"é"}` {
		t.Fatalf("create: got %s of %d bytes, want %d", first.Metadata, first.SizeBytes, want)
	}
	if first.CreatedAt != first.UpdatedAt || len(first.CreatedAt) != len("2006-01-02T15:04:05.000Z") {
		t.Fatalf("create: got times %s and %s", first.CreatedAt, first.UpdatedAt)
	}

	r = s.call(u, "PUT", "/api/v1/vault/keys/note", []byte(`{"value":"second, longer"}`))
	second := r.item(t)
	if r.status != 200 || r.Message != "Vault key updated successfully" || *second.Value != "second, longer" ||
		string(second.Metadata) != string(first.Metadata) {
		t.Fatalf("metadata left out must be kept: got %d %s", r.status, r.raw)
	}
	if second.CreatedAt != first.CreatedAt || second.UpdatedAt < first.UpdatedAt ||
		second.SizeBytes != first.SizeBytes+9 {
		t.Fatalf("update: got %+v after %+v", second, first)
	}

	r = s.call(u, "GET", "/api/v1/vault/keys/note", nil)
	if got := r.item(t); r.status != 200 || r.Message != "Vault key retrieved successfully" ||
		fmt.Sprint(*got.Value, got.SizeBytes, got.UpdatedAt, string(got.Metadata)) !=
			fmt.Sprint(*second.Value, second.SizeBytes, second.UpdatedAt, string(second.Metadata)) {
		t.Fatalf("read: got %s, want what was answered to the write", r.raw)
	}

	r = s.call(u, "PUT", "/api/v1/vault/keys/note", []byte(`{"value":"","metadata":null}`))
	if got := r.item(t); r.status != 200 || *got.Value != "" || string(got.Metadata) != "null" || got.SizeBytes != 0 {
		t.Fatalf("empty value, null metadata: got %s", r.raw)
	}
	if got := s.call(u, "GET", "/api/v1/vault/keys/note", nil).item(t); got.Value == nil || *got.Value != "" {
		t.Fatalf("an empty value must come back as one, got %v", got.Value)
	}

	r = s.call(u, "DELETE", "/api/v1/vault/keys/note", nil)
	if r.status != 200 || r.Message != "Vault key deleted successfully" || string(r.Data) != "null" {
		t.Fatalf("delete: got %s", r.raw)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if r = s.call(u, method, "/api/v1/vault/keys/note", nil); r.status != 404 || r.Code != "VAULT_KEY_NOT_FOUND" ||
			r.Message != "Vault key not found." {
			t.Fatalf("%s of a deleted key: got %s", method, r.raw)
		}
	}
	s.checkAccounts()
}

func TestEveryValueComesBackByteForByte(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	var all strings.Builder
	for r := rune(0); r <= 0x10ffff; r += 1 + r/512 {
		if r < 0xd800 || r > 0xdfff {
			all.WriteRune(r)
		}
	}
	for name, value := range map[string]string{
		"NUL": "a\x00b\x00", "quotes": `"\/'`, "controls": "\x01\x1f\x7f\u0080\u2028\u2029", "astral": "𝒳😀",
		"spaces": "  \t\r\n ", "JSON": `{"a":[1,"\u0000"]}`,
		"noncharacters": "\ufffe\uffff\ufffd", "combining": "e\u0301\u202e", "html": "<script>&amp;",
		"of-every-kind": all.String(),
	} {
		written := s.put(u, name, "", value)
		read := s.call(u, "GET", "/api/v1/vault/keys/"+name, nil).item(t)
		if *written.Value != value || *read.Value != value || read.SizeBytes != int64(len(value)) {
			t.Errorf("%s: answered %.100q, read %.100q of %d bytes; want %.100q of %d",
				name, *written.Value, *read.Value,
				read.SizeBytes, value, len(value))
		}
	}
}

func TestBadWritesChangeNothing(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	s.put(u, "k", "", "old")
	big := `{"m":"` + strings.Repeat("x", maxMetadata) + `"}`
	for name, c := range map[string]struct {
		body, path, message string
	}{
		"no body":            {"", "/value", "is required"},
		"no value":           {`{"metadata":{}}`, "/value", "is required"},
		"null value":         {`{"value":null}`, "/value", "must be a string"},
		"number":             {`{"value":1}`, "/value", "must be a string"},
		"object":             {`{"value":{}}`, "/value", "must be a string"},
		"array":              {`{"value":["a"]}`, "/value", "must be a string"},
		"boolean":            {`{"value":true}`, "/value", "must be a string"},
		"metadata an array":  {`{"value":"","metadata":[]}`, "/metadata", "must be a JSON object"},
		"metadata a string":  {`{"value":"","metadata":"{}"}`, "/metadata", "must be a JSON object"},
		"metadata a number":  {`{"value":"","metadata":0}`, "/metadata", "must be a JSON object"},
		"metadata too large": {`{"value":"","metadata":` + big + `}`, "/metadata", "must be at most 262144 bytes"},
		"metadata too deep": {`{"value":"","metadata":{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) +
			`}}`, "/metadata", "levels deep"},
		"metadata, a name twice":  {`{"value":"","metadata":{"a":1,"a":2}}`, "/metadata", "same name twice"},
		"not JSON":                {`value`, "", "must be a JSON object"},
		"an array for a body":     {`["value"]`, "", "must be a JSON object"},
		"half a body":             {`{"value":"x`, "", "must be valid JSON"},
		"not UTF-8":               {"{\"value\":\"\xff\"}", "", "must be valid JSON"},
		"a lone surrogate":        {`{"value":"\ud800"}`, "", "must be valid JSON"},
		"two bodies":              {`{"value":"x"}{"value":"y"}`, "", "single JSON object"},
		"value twice":             {`{"value":"x","value":"y"}`, "/value", "duplicate"},
		"deep JSON":               {`{"x":` + strings.Repeat("[", 100_000), "", "must be valid JSON"},
		"a raw control character": {"{\"value\":\"a\nb\"}", "", "must be valid JSON"},
	} {
		r := s.call(u, "PUT", "/api/v1/vault/keys/k", []byte(c.body))
		if r.status != 400 || r.Code != "VALIDATION_ERROR" || r.Error != "Bad Request" ||
			r.Message != "Validation failed" {
			t.Errorf("%s: got %d %.300s", name, r.status, r.raw)
			continue
		}
		var v []struct{ InstancePath, Message string }
		if err := json.Unmarshal(r.Data, &v); err != nil || len(v) != 1 || !strings.Contains(v[0].Message, c.message) ||
			(c.path != "" && v[0].InstancePath != c.path) {
			t.Errorf("%s: got violations %s, want %s %q", name, r.Data, c.path, c.message)
		}
	}
	if got := s.call(u, "GET", "/api/v1/vault/keys/k", nil).item(t); *got.Value != "old" {
		t.Errorf("a refused write changed the value to %q", *got.Value)
	}
	r := s.call(u, "PUT", "/api/v1/vault/keys/k", []byte(`{"value":7,"metadata":7}`))
	if !strings.Contains(string(r.Data), "/value") || !strings.Contains(string(r.Data), "/metadata") {
		t.Errorf("two violations must both be told, got %s", r.Data)
	}
}

func TestMetadataMayHaveTheLargestSize(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	metadata := `{"m":"` + strings.Repeat("x", maxMetadata-8) + `"}`
	r := s.call(u, "PUT", "/api/v1/vault/keys/k",
		[]byte(`{"value":"v","metadata":  `+strings.Replace(metadata, "x", `\u0078`, 50)+`}`))
	if got := r.item(t); r.status != 201 || string(got.Metadata) != metadata || got.SizeBytes != maxMetadata+1 {
		t.Fatalf("got %d, %d bytes of metadata, size %d", r.status, len(got.Metadata), got.SizeBytes)
	}
}

func TestKeyNamesAreChecked(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	for _, name := range []string{"a", "A", "0", "...", "-", "_", "a.b_c-D", strings.Repeat("k", 255)} {
		s.put(u, name, "", "value of "+name)
		if got := s.call(u, "GET", "/api/v1/vault/keys/"+name, nil).item(t); *got.Value != "value of "+name ||
			got.Key != name {
			t.Errorf("key %s: got %+v", name, got)
		}
	}
	if got := s.call(u, "GET", "/api/v1/vault/keys/%61.b%5fc%2DD", nil); got.status != 200 ||
		got.item(t).Key != "a.b_c-D" {
		t.Errorf("percent-encoded characters of a key are the characters themselves: got %s", got.raw)
	}
	for _, name := range []string{strings.Repeat("k", 256), "a%20b", "a%2Fb", "%00", "a+b", "a@b", "%C3%A9",
		"a%0a", "a,b",
		"a%", "a%zz", "%", "a:b", "*", "a~b", "%2e%2e%2f"} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			r, err := s.raw(u, method+" /api/v1/vault/keys/"+name, `{"value":"x"}`)
			if err != nil || !strings.Contains(r, " 400 ") || !strings.Contains(r, `"code":"VALIDATION_ERROR"`) ||
				!strings.Contains(r, `"instancePath":"/key"`) {
				t.Errorf("%s key %s: got %.300s %v", method, name, r, err)
			}
		}
	}
}

func TestListIsSortedBytewiseAndHasNoValues(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	r := s.call(u, "GET", "/api/v1/vault/keys", nil)
	if r.status != 200 || r.Message != "Vault keys retrieved successfully" || string(r.Data) != "[]" {
		t.Fatalf("an empty vault: got %s", r.raw)
	}
	for _, name := range []string{"b", "a", "B", "_", "-", "a.b", "a-b", "10", "9"} {
		s.call(u, "PUT", "/api/v1/vault/keys/"+name, fmt.Appendf(nil, `{"value":"secret","metadata":{"of":%q}}`, name))
	}
	s.put(u, "other", "?realm_id="+realmA, "x")
	r = s.call(u, "GET", "/api/v1/vault/keys", nil)
	var list []map[string]any
	if err := json.Unmarshal(r.Data, &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, i["key"].(string))
		if _, ok := i["value"]; ok || len(i) != 8 || i["metadata"].(map[string]any)["of"] != i["key"] ||
			i["size_bytes"].(float64) != float64(6+len(fmt.Sprintf(`{"of":%q}`, i["key"]))) {
			t.Errorf("got %v", i)
		}
	}
	if got := strings.Join(names, " "); got != "- 10 9 B _ a a-b a.b b" {
		t.Errorf("got order %s", got)
	}
	if strings.Contains(string(r.raw), "secret") {
		t.Error("a value is in the list")
	}
}

func TestARealmDoesNotSeeTheItemsOfAnother(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	onHost := u
	onHost.Realm = realmB
	s.put(u, "k", "", "global")
	s.put(u, "k", "?realm_id="+strings.ToUpper(realmA), "in A")
	s.put(onHost, "k", "", "in B")
	for query, want := range map[string]string{"": "global", "?realm_id=" + realmA: "in A",
		"?realm_id=" + realmB: "in B"} {
		if got := s.call(u, "GET", "/api/v1/vault/keys/k"+query, nil).item(t); *got.Value != want ||
			(want == "in A" && got.RealmID != realmA) {
			t.Errorf("%s: got %+v, want %s", query, got, want)
		}
	}
	if r := s.call(onHost, "GET", "/api/v1/vault/keys/k?realm_id="+realmA, nil); r.status != 400 ||
		r.Code != "VALIDATION_ERROR" {
		t.Errorf("host and query differ: got %s", r.raw)
	}
	for _, bad := range []string{"", "x", realmA[:23], realmA + "0", "..", "%00", "0123456789abcdef0123456g"} {
		for _, call := range []string{"GET /api/v1/vault/keys", "GET /api/v1/vault/stats", "DELETE /api/v1/vault",
			"GET /api/v1/vault/keys/k", "DELETE /api/v1/vault/keys/k", "PUT /api/v1/vault/keys/k"} {
			method, path, _ := strings.Cut(call, " ")
			r := s.call(u, method, path+"?realm_id="+bad, body("x"))
			if r.status != 400 || r.Code != "VALIDATION_ERROR" {
				t.Errorf("%s with realm %s: got %s", call, bad, r.raw)
			}
		}
	}

	system := s.call(auth.Identity{Kind: auth.System}, "GET", "/internal/realms?user_id="+u.UserID, nil)
	if want := `{"realms":[{"realm_id":"` + realmA + `","count":1,"size_bytes":4},{"realm_id":"` + realmB +
		`","count":1,"size_bytes":4}]}`; string(system.raw) != want {
		t.Errorf("realms: got %s, want %s", system.raw, want)
	}
	if r := s.call(u, "GET", "/internal/realms?user_id="+u.UserID, nil); r.status != 401 {
		t.Errorf("a user asks for the internal list: got %d", r.status)
	}
	if r := s.call(auth.Identity{Kind: auth.System}, "GET", "/internal/realms?user_id=x", nil); r.status != 400 {
		t.Errorf("no user: got %s", r.raw)
	}

	if r := s.call(u, "DELETE", "/api/v1/vault?realm_id="+realmA, nil); r.status != 200 ||
		r.Message != "Vault cleared successfully" || string(r.Data) != `{"deleted_count":1}` {
		t.Errorf("clear: got %s", r.raw)
	}
	if r := s.call(u, "DELETE", "/api/v1/vault?realm_id="+realmA, nil); string(r.Data) != `{"deleted_count":0}` {
		t.Errorf("clear again: got %s", r.raw)
	}
	if got := s.call(u, "GET", "/api/v1/vault/keys/k", nil).item(t); *got.Value != "global" {
		t.Errorf("clearing one realm touched another: %+v", got)
	}
	if r := s.call(auth.Identity{Kind: auth.System}, "GET", "/internal/realms?user_id="+u.UserID,
		nil); strings.Contains(string(r.raw), realmA) {
		t.Errorf("a realm without keys is listed: %s", r.raw)
	}
	s.checkAccounts()
}

func TestAUserDoesNotSeeTheItemsOfAnother(t *testing.T) {
	t.Parallel()
	s, alice, bob := start(t), user(), user()
	s.put(alice, "k", "", "alice's")
	if r := s.call(bob, "GET", "/api/v1/vault/keys/k", nil); r.status != 404 {
		t.Errorf("bob reads alice's: %s", r.raw)
	}
	s.call(bob, "DELETE", "/api/v1/vault", nil)
	if got := s.call(alice, "GET", "/api/v1/vault/keys/k", nil).item(t); *got.Value != "alice's" {
		t.Errorf("bob cleared alice's vault")
	}
}
