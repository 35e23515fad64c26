package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

// operationResult is the result of one operation of a batch.
type operationResult struct {
	Key    string `json:"key"`
	Status int    `json:"status"`
	Item   *struct {
		item
		ETag string `json:"etag"`
	} `json:"item"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// batchReply is the answer to a batch as a client sees it, with what only the gateway sees.
type batchReply struct {
	reply
	operations []internalapi.Operation
	results    []operationResult
	warnings   []string
}

// statuses returns the statuses of the results.
func (r batchReply) statuses() string {
	var all []string
	for _, one := range r.results {
		all = append(all, strconv.Itoa(one.Status))
	}
	return strings.Join(all, " ")
}

// batch sends a batch.
func (s *stack) batch(as auth.Identity, query, body string) batchReply {
	s.t.Helper()
	r, err := s.tryBatch(as, query, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *stack) tryBatch(as auth.Identity, query, body string) (r batchReply, err error) {
	req, err := http.NewRequest("POST", "http://"+s.addr+batchPath+query, bytes.NewReader([]byte(body)))
	if err != nil {
		return r, err
	}
	identity, err := s.signer.Sign(as, Name)
	if err != nil {
		return r, err
	}
	req.Header.Set(auth.IdentityHeader, identity)
	res, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return r, err
	}
	if n, _ := strconv.Atoi(res.Header.Get(internalapi.OperationsHeader)); n > 0 {
		if err := json.Unmarshal(raw[:n], &r.operations); err != nil {
			return r, err
		}
		raw = raw[n:]
	}
	if err := json.Unmarshal(raw, &r.reply); err != nil {
		return r, fmt.Errorf("%.300s: %w", raw, err)
	}
	r.status, r.header, r.raw = res.StatusCode, res.Header, raw
	var data struct {
		Results []operationResult `json:"results"`
	}
	_ = json.Unmarshal(r.Data, &data)
	var envelope struct {
		Warnings []string `json:"warnings"`
	}
	_ = json.Unmarshal(raw, &envelope)
	r.results, r.warnings = data.Results, envelope.Warnings
	return r, nil
}

// value returns the value of a key, "-" when it is absent.
func (s *stack) value(as auth.Identity, key string) string {
	s.t.Helper()
	r := s.call(as, "GET", "/api/v1/vault/keys/"+key, nil)
	if r.status == 404 {
		return "-"
	}
	return *r.item(s.t).Value
}

// revision returns the user's revision and the number of the user's recorded changes.
func (s *stack) revision(userID string) (revision, changes int64) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), `SELECT coalesce(max(revision), 0),
		(SELECT count(*) FROM vault_changes WHERE user_id = $1) FROM vault_usage WHERE user_id = $1`, userID).
		Scan(&revision, &changes); err != nil {
		s.t.Fatal(err)
	}
	return revision, changes
}

func TestBatchOperationsActInOrder(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	s.put(owner, "old", "", "v")
	r := s.batch(owner, "", `{"operations":[
		{"op":"put","key":"a","value":"1"}, {"op":"get","key":"a"}, {"op":"put","key":"a","value":"2","metadata":{"m":1}},
		{"op":"get","key":"a"}, {"op":"delete","key":"a"}, {"op":"put","key":"a","value":"\u00003"}, {"op":"get","key":"a"},
		{"op":"get","key":"old"}, {"op":"delete","key":"old","recoverable":true}, {"op":"put","key":"b","value":""}]}`)
	if got, want := r.statuses(), "201 200 200 200 200 201 200 200 200 201"; r.status != 200 || got != want {
		t.Fatalf("got %d %s, want 200 with %s; %s", r.status, got, want, r.raw)
	}
	for i, want := range map[int]string{0: "1", 1: "1", 2: "2", 3: "2", 5: "\x003", 6: "\x003", 7: "v", 9: ""} {
		if item := r.results[i].Item; item == nil || item.Value == nil || *item.Value != want || item.ETag == "" {
			t.Errorf("result %d: got %+v, want an item with value %q and its tag", i, item, want)
		}
	}
	if r.results[4].Item != nil || string(r.results[3].Item.Metadata) != `{"m":1}` {
		t.Errorf("got %s, want metadata with the second get and no item with the delete", r.raw)
	}
	one := s.call(owner, "GET", "/api/v1/vault/keys/a", nil)
	if got, want := r.results[6].Item.ETag, one.header.Get("ETag"); got != want {
		t.Errorf("tag: got %s, want that of the single call, %s", got, want)
	}
	if got := s.value(owner, "old"); got != "-" {
		t.Errorf("old: got %s, want it deleted", got)
	}
	if got, want := fmt.Sprint(r.operations[0], r.operations[4], r.operations[7]),
		"{PUT /api/v1/vault/keys/a 201} {DELETE /api/v1/vault/keys/a 200} {GET /api/v1/vault/keys/old 200}"; got != want {
		t.Errorf("for the log: got %s, want %s", got, want)
	}
	if r := s.batch(owner, "?realm_id="+realmA, `{"operations":[{"op":"get","key":"a"}]}`); r.statuses() != "404" {
		t.Errorf("another realm: got %s, want 404", r.raw)
	}
	s.checkAccounts()
}

func TestAtomicBatchChangesAllOrNothing(t *testing.T) {
	t.Parallel()
	s, owner := start(t, func(c *Config) { c.QuotaMB = 1 }), user()
	tag := func() string {
		return strings.ReplaceAll(s.call(owner, "GET", "/api/v1/vault/keys/k", nil).header.Get("ETag"), `"`, `\"`)
	}
	s.put(owner, "k", "", "before")
	first := tag()
	s.put(owner, "k", "", "v")
	half := strings.Repeat("x", 600<<10)
	for name, c := range map[string]struct{ failing, status, code string }{
		"a get of an absent key":    {`{"op":"get","key":"none"}`, "404", "VAULT_KEY_NOT_FOUND"},
		"a delete of an absent key": {`{"op":"delete","key":"none"}`, "404", "VAULT_KEY_NOT_FOUND"},
		"an old tag": {`{"op":"put","key":"k","value":"x","if_match":"` + first + `"}`, "412",
			"PRECONDITION_FAILED"},
		"an existing key":        {`{"op":"put","key":"k","value":"x","if_none_match":"*"}`, "412", "PRECONDITION_FAILED"},
		"a tag of an absent key": {`{"op":"delete","key":"none","if_match":"*"}`, "412", "PRECONDITION_FAILED"},
		"too much": {`{"op":"put","key":"big","value":"` + half + half + `"}`, "413",
			"VAULT_LIMIT_EXCEEDED"},
	} {
		revision, changes := s.revision(owner.UserID)
		body := `"operations":[{"op":"put","key":"k","value":"w"},{"op":"put","key":"new","value":"w"},{"op":"delete","key":"k"},
			{"op":"put","key":"k","value":"again"},` + c.failing + `,{"op":"put","key":"after","value":"w"}]}`
		r := s.batch(owner, "", `{`+body)
		if r.status != 409 || r.Code != "BATCH_FAILED" || r.statuses() != "424 424 424 424 "+c.status+" 424" ||
			r.results[4].Code != c.code || r.results[0].Code == "" || strings.Contains(string(r.raw), `"item"`) {
			t.Errorf("%s: got %d %.600s, want 409 with %s %s", name, r.status, r.raw, c.status, c.code)
		}
		if len(r.operations) != 6 || fmt.Sprint(r.operations[4].Status) != c.status || r.operations[0].Status != 424 {
			t.Errorf("%s: for the log: got %v", name, r.operations)
		}
		if got := s.value(owner, "k") + s.value(owner, "new") + s.value(owner, "after"); got != "v--" {
			t.Errorf("%s: got %s, want nothing changed", name, got)
		}
		if nowRevision, nowChanges := s.revision(owner.UserID); nowRevision != revision || nowChanges != changes {
			t.Errorf("%s: got %d changes more, want none", name, nowChanges-changes)
		}
	}
	if got := s.versionsOf(owner, "k"); got != 2 {
		t.Errorf("version: got %d, want 2: batches that were rolled back use no number", got)
	}
	// Not atomic: the others take effect.
	r := s.batch(owner, "", `{"atomic":false,"operations":[{"op":"put","key":"n1","value":"w"},{"op":"get","key":"none"},
		{"op":"put","key":"k","value":"x","if_match":"`+first+`"},{"op":"put","key":"big","value":"`+half+half+`"},
		{"op":"put","key":"n2","value":"w","if_match":"*"},{"op":"delete","key":"n1"},{"op":"put","key":"n3","value":"w"},
		{"op":"get","key":"k","if_none_match":"`+tag()+`"}]}`)
	if got, want := r.statuses(), "201 404 412 413 412 200 201 304"; r.status != 200 || got != want {
		t.Errorf("not atomic: got %d %s, want 200 with %s", r.status, got, want)
	}
	if got := s.value(owner, "n1") + s.value(owner, "n2") + s.value(owner, "n3") + s.value(owner, "k"); got != "--wv" {
		t.Errorf("not atomic: got %s, want --wv", got)
	}
	s.checkAccounts()
}

// versionsOf returns the version of a key.
func (s *stack) versionsOf(as auth.Identity, key string) int {
	s.t.Helper()
	var i struct{ Version int }
	if err := json.Unmarshal(s.call(as, "GET", "/api/v1/vault/keys/"+key, nil).Data, &i); err != nil {
		s.t.Fatal(err)
	}
	return i.Version
}

func TestBatchQuotaIsThatAfterTheOperationsBefore(t *testing.T) {
	t.Parallel()
	s, owner := start(t, func(c *Config) { c.QuotaMB = 1 }), user()
	most := strings.Repeat("x", 1<<20)
	put := func(key, value string) string { return `{"op":"put","key":"` + key + `","value":"` + value + `"}` }
	for _, c := range []struct{ operations, want string }{
		{put("a", most), "201"}, {put("b", "x"), "413"}, {`{"op":"delete","key":"a"},` + put("b", most), "200 201"},
		{put("b", "x") + "," + put("c", most[1:]) + "," + put("d", ""), "200 201 201"},
		{put("d", "x") + `,{"op":"delete","key":"b"}`, "413 424"},
	} {
		if r := s.batch(owner, "", `{"operations":[`+c.operations+`]}`); r.statuses() != c.want {
			t.Errorf("%.60s: got %s, want %s", c.operations, r.statuses(), c.want)
		}
	}
	if got := s.used(owner.UserID); got != 1<<20 {
		t.Errorf("used: got %d bytes, want %d", got, 1<<20)
	}
	s.checkAccounts()
}

func TestBatchSchemaErrorsNameTheirPlace(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	const ok = `{"op":"put","key":"ok","value":"v"},`
	many := strings.Repeat(`{"op":"get","key":"k"},`, 101)
	for body, places := range map[string]string{
		``: "/operations", `{}`: "/operations", `{"operations":[]}`: "/operations", `{"operations":{}}`: "/operations",
		`{"operations":null}`: "/operations", `{"operations":[` + many[:len(many)-1] + `]}`: "/operations",
		`{"atomic":"yes","operations":[` + ok + `{"op":"get","key":"k"}]}`:                                 "/atomic",
		`{"operations":[` + ok + `1]}`:                                                                     "/operations/1",
		`{"operations":[` + ok + `{}]}`:                                                                    "/operations/1/op /operations/1/key",
		`{"operations":[` + ok + `{"op":"list","key":"k"}]}`:                                               "/operations/1/op",
		`{"operations":[` + ok + `{"op":"PUT","key":"k","value":""}]}`:                                     "/operations/1/op",
		`{"operations":[` + ok + `{"op":"get","key":"a/b"}]}`:                                              "/operations/1/key",
		`{"operations":[` + ok + `{"op":"get","key":""}]}`:                                                 "/operations/1/key",
		`{"operations":[` + ok + `{"op":"put","key":"k"},{"op":"get"}]}`:                                   "/operations/1/value /operations/2/key",
		`{"operations":[` + ok + `{"op":"put","key":"k","value":1}]}`:                                      "/operations/1/value",
		`{"operations":[` + ok + `{"op":"put","key":"k","value":"","metadata":[]}]}`:                       "/operations/1/metadata",
		`{"operations":[` + ok + `{"op":"put","key":"k","value":"","ttl":0}]}`:                             "/operations/1/ttl",
		`{"operations":[` + ok + `{"op":"put","key":"k","value":"","expires_at":"2001-01-01T00:00:00Z"}]}`: "/operations/1/expires_at",
		`{"operations":[` + ok + `{"op":"get","key":"k","if_match":"abc"}]}`:                               "/operations/1/if_match",
		`{"operations":[` + ok + `{"op":"get","key":"k","if_none_match":7}]}`:                              "/operations/1/if_none_match",
		`{"operations":[` + ok + `{"op":"delete","key":"k","recoverable":"x"}]}`:                           "/operations/1/recoverable",
		`{"operations":[` + ok + `{"op":"get","key":"k","key":"l"}]}`:                                      "/operations/1/key",
	} {
		r := s.batch(owner, "", body)
		var faults []struct{ InstancePath string }
		_ = json.Unmarshal(r.Data, &faults)
		var got []string
		for _, f := range faults {
			got = append(got, f.InstancePath)
		}
		if r.status != 400 || r.Code != "VALIDATION_ERROR" || strings.Join(got, " ") != places || r.operations != nil {
			t.Errorf("%.90s: got %d %s %s, want 400 at %s", body, r.status, r.Code, got, places)
		}
	}
	if got := s.value(owner, "ok"); got != "-" {
		t.Errorf("got %s, want nothing tried", got)
	}
	r := s.batch(owner, "", `{"x":1,"operations":[`+ok+ok+ok+`{"op":"put","key":"k","value":"","foo":1,"metadata":{"free":1}},
		{"op":"get","key":"k","value":"v","ttl":null}]}`)
	want := "[unknown field /x was ignored unknown field /operations/3/foo was ignored unknown field /operations/4/value was ignored]"
	if got := fmt.Sprint(r.warnings); r.status != 200 || got != want {
		t.Errorf("got %d %s, want 200 with %s", r.status, got, want)
	}
}

func TestBatchOfAScopedToken(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	s.put(owner, "in.k", "", "v")
	s.put(owner, "out", "", "v")
	operations := `"operations":[{"op":"get","key":"in.k"},{"op":"get","key":"out"},{"op":"put","key":"none","value":"v"},
		{"op":"put","key":"in.n","value":"v"},{"op":"delete","key":"out"}]}`
	in := []string{"in."}
	for _, c := range []struct {
		part auth.VaultScope
		want string
	}{
		{auth.VaultScope{Prefixes: in, ReadOnly: true}, "200 403 403 403 403"},
		{auth.VaultScope{ReadOnly: true}, "200 200 403 403 403"},
		{auth.VaultScope{Prefixes: in}, "200 403 403 201 403"},
	} {
		r := s.batch(scoped(owner, c.part), "", `{"atomic":false,`+operations)
		if r.status != 200 || r.statuses() != c.want || strings.Contains(c.want, "403") &&
			r.results[2].Code != "INSUFFICIENT_PERMISSIONS" {
			t.Errorf("%v: got %d %s, want %s", c.part, r.status, r.raw, c.want)
		}
		if r := s.batch(scoped(owner, c.part), "", `{`+operations); r.status != 409 {
			t.Errorf("%v, atomic: got %d %s, want 409", c.part, r.status, r.raw)
		}
	}
	none := scoped(owner, auth.VaultScope{})
	none.Grant.VaultScope = nil
	if r := s.batch(none, "", `{`+operations); r.status != 403 || r.Code != "INSUFFICIENT_PERMISSIONS" {
		t.Errorf("a token without vault access: got %d %s, want 403", r.status, r.raw)
	}
}

func TestBatchMayBeAsLargeAsTheQuota(t *testing.T) {
	t.Parallel()
	s, owner := start(t, func(c *Config) { c.QuotaMB = 8 }), user()
	var puts, gets []string
	value := strings.Repeat("é\\u0001", 8<<20/100/3)
	for i := range 100 {
		puts = append(puts, fmt.Sprintf(`{"op":"put","key":"k%d","value":"%s"}`, i, value))
		gets = append(gets, fmt.Sprintf(`{"op":"get","key":"k%d"}`, i))
	}
	if r := s.batch(owner, "", `{"operations":[`+strings.Join(puts, ",")+`]}`); r.status != 200 {
		t.Fatalf("got %d %.300s, want 200", r.status, r.raw)
	}
	r := s.batch(owner, "", `{"operations":[`+strings.Join(gets, ",")+`]}`)
	want := strings.ReplaceAll(value, "\\u0001", "\x01")
	for i, one := range r.results {
		if one.Item == nil || *one.Item.Value != want {
			t.Fatalf("result %d: got status %d, want the value", i, one.Status)
		}
	}
	// The same large value may be asked for many times.
	s.put(owner, "k1", "", strings.Repeat("y", 80<<10))
	same := strings.Repeat(`{"op":"get","key":"k1"},`, 100)
	if r := s.batch(owner, "", `{"operations":[`+same[:len(same)-1]+`]}`); r.status != 200 || len(r.raw) < 100*80<<10 {
		t.Errorf("the same value: got %d with %d bytes, want it 100 times", r.status, len(r.raw))
	}
	if got := s.metric("vault_inflight_bytes"); got != 0 {
		t.Errorf("got %v bytes reserved afterwards, want none", got)
	}
	s.checkAccounts()
}

// TestConcurrentBatchesAreSerial moves two keys from equal values to equal values, while others read
// both.
func TestConcurrentBatchesAreSerial(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	second := run(t, s.cfg)
	s.batch(owner, "", `{"operations":[{"op":"put","key":"a","value":"0"},{"op":"put","key":"b","value":"0"}]}`)
	var group sync.WaitGroup
	for i := range 8 {
		on := []*stack{s, second}[i%2]
		group.Go(func() {
			for n := range 10 {
				body := fmt.Sprintf(`{"operations":[{"op":"put","key":"a","value":"%d-%d"},{"op":"put","key":"b","value":"%d-%d"}]}`,
					i, n, i, n)
				if i >= 4 {
					body = `{"operations":[{"op":"get","key":"a"},{"op":"get","key":"b"}]}`
				}
				r, err := on.tryBatch(owner, "", body)
				if err != nil || r.status != 200 {
					t.Errorf("got %d %.300s %v, want 200", r.status, r.raw, err)
					return
				}
				if a, b := *r.results[0].Item.Value, *r.results[1].Item.Value; a != b {
					t.Errorf("got %s and %s, want the same", a, b)
				}
			}
		})
	}
	group.Wait()
	if got := s.versionsOf(owner, "a"); got != 41 {
		t.Errorf("version: got %d, want 41", got)
	}
	s.checkAccounts()
}
