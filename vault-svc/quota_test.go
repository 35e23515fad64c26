package vault

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/realmgate/realmgate/pkg/auth"
)

// within returns the identity with the given quota in bytes.
func within(i auth.Identity, quota int64) auth.Identity {
	i.VaultQuota = quota
	return i
}

func (s *stack) refusedByQuota(i auth.Identity, key, query string, size int) {
	s.t.Helper()
	r := s.call(i, "PUT", "/api/v1/vault/keys/"+key+query, body(strings.Repeat("x", size)))
	if r.status != 413 || r.Code != "VAULT_LIMIT_EXCEEDED" || r.Message != "Vault storage limit exceeded." ||
		r.Error != "Payload Too Large" {
		s.t.Errorf("PUT of %d bytes to %s%s: got %d %.300s, want 413 VAULT_LIMIT_EXCEEDED",
			size, key, query, r.status, r.raw)
	}
}

func TestTheQuotaIsExact(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := within(user(), 1000)
	s.put(u, "a", "", strings.Repeat("x", 600))
	s.put(u, "b", "?realm_id="+realmA, strings.Repeat("x", 400))
	s.refusedByQuota(u, "c", "", 1)
	s.refusedByQuota(u, "c", "?realm_id="+realmB, 1)
	s.put(u, "c", "", "")
	s.refusedByQuota(u, "a", "", 601)
	s.put(u, "a", "", strings.Repeat("y", 600))
	if r := s.call(u, "PUT", "/api/v1/vault/keys/c", []byte(`{"value":"","metadata":{}}`)); r.status != 413 {
		t.Errorf("metadata counts too: got %s", r.raw)
	}
	if got := s.call(u, "GET", "/api/v1/vault/keys/a", nil).item(t); *got.Value != strings.Repeat("y", 600) {
		t.Error("the refused write changed the value")
	}
	s.put(u, "a", "", strings.Repeat("x", 590))
	s.put(u, "c", "", strings.Repeat("x", 10))
	s.call(u, "DELETE", "/api/v1/vault/keys/a", nil)
	s.put(u, "d", "", strings.Repeat("x", 590))
	s.refusedByQuota(u, "e", "", 1)
	s.call(u, "DELETE", "/api/v1/vault", nil)
	s.put(u, "e", "", strings.Repeat("x", 600))
	s.refusedByQuota(u, "f", "", 1)
	if got := s.used(u.UserID); got != 1000 {
		t.Errorf("account says %d", got)
	}
	s.checkAccounts()
}

func TestAQuotaOfZeroAllowsOnlyEmptyValues(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := within(user(), -1)
	s.refusedByQuota(u, "k", "", 1)
	s.put(u, "empty", "", "")
	r := s.call(u, "GET", "/api/v1/vault/stats", nil)
	var got Stats
	if err := json.Unmarshal(r.Data, &got); err != nil || r.status != 200 || *got.LimitMB != 0 || *got.RemainingMB != 0 ||
		*got.UsedPercentage != 100 {
		t.Errorf("stats: got %d %s (%v)", r.status, r.raw, err)
	}
}

func TestShrinkingIsAllowedUnderALoweredQuota(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	// The writing statement refuses the small value. The large value is refused before it is
	// sealed.
	for _, size := range []int{1000, 200_000} {
		key := fmt.Sprint("k", size)
		s.put(within(u, 1<<20), key, "", strings.Repeat("x", size))
	}
	lowered := within(u, 100)
	s.refusedByQuota(lowered, "new", "", 1)
	for _, size := range []int{1000, 200_000} {
		key := fmt.Sprint("k", size)
		s.refusedByQuota(lowered, key, "", size+1)
		s.put(lowered, key, "", strings.Repeat("y", size))
		s.put(lowered, key, "", strings.Repeat("z", size-100))
	}
	var stats Stats
	if err := json.Unmarshal(s.call(lowered, "GET", "/api/v1/vault/stats", nil).Data, &stats); err != nil {
		t.Fatal(err)
	}
	if *stats.RemainingMB != 0 || *stats.UsedPercentage != 200800 || *stats.LimitMB != 0.000095 ||
		stats.TotalSizeBytes != 200_800 {
		t.Errorf("got %+v", stats)
	}
	s.call(lowered, "DELETE", "/api/v1/vault", nil)
	s.put(lowered, "k", "", strings.Repeat("x", 100))
	s.checkAccounts()
}

func TestTheNumberOfItemsIsLimited(t *testing.T) {
	t.Parallel()
	s, u := start(t, func(c *Config) { c.MaxItems = 3 }), user()
	for i := range 3 {
		s.put(u, fmt.Sprint(i), "", "")
	}
	s.refusedByQuota(u, "4", "", 0)
	s.put(u, "1", "", "an overwrite is no new key")
	s.call(u, "DELETE", "/api/v1/vault/keys/0", nil)
	s.put(u, "4", "", "")
}

func TestConcurrentWritersDoNotExceedTheQuota(t *testing.T) {
	t.Parallel()
	s := start(t)
	const quota, before, size = 2 << 20, 512 << 10, 100 << 10
	u := within(user(), quota)
	s.put(u, "before", "", strings.Repeat("b", before))
	var created, refused atomic.Int64
	parallel(t, 80, func(n int) error {
		r, err := s.try(u, "PUT", fmt.Sprintf("/api/v1/vault/keys/k%d%s", n,
			[]string{"", "?realm_id=" + realmA, "?realm_id=" + realmB}[n%3]), body(strings.Repeat("x", size)))
		switch {
		case err != nil:
			return err
		case r.status == 201:
			created.Add(1)
		case r.status == 413 && r.Code == "VAULT_LIMIT_EXCEEDED":
			refused.Add(1)
		default:
			return fmt.Errorf("got %d %.200s", r.status, r.raw)
		}
		return nil
	})
	if want := int64((quota - before) / size); created.Load() != want || refused.Load() != 80-want {
		t.Errorf("%d created and %d refused, want %d and %d", created.Load(), refused.Load(), want, 80-want)
	}
	if got := s.used(u.UserID); got != before+created.Load()*size || got > quota {
		t.Errorf("account says %d for %d writes", got, created.Load())
	}
	s.checkAccounts()
}

func TestAccountsEqualTheItemsAfterConcurrentChanges(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := within(user(), 40_000)
	realms := []string{"", "?realm_id=" + realmA, "?realm_id=" + realmB}
	parallel(t, 16, func(n int) error {
		rnd := rand.New(rand.NewPCG(1, uint64(n)))
		for range 60 {
			query, key := realms[rnd.IntN(3)], fmt.Sprint("k", rnd.IntN(4))
			// Values often have the length of the previous one, so that the write takes no lock.
			method, path, data := "PUT", "/api/v1/vault/keys/"+key+query, body(strings.Repeat("x", 1000*rnd.IntN(8)))
			switch p := rnd.IntN(20); {
			case p == 0:
				method, path, data = "DELETE", "/api/v1/vault"+query, nil
			case p < 6:
				method, data = "DELETE", nil
			case p < 10:
				data = []byte(`{"value":"m","metadata":{"m":"` + strings.Repeat("y", rnd.IntN(3000)) + `"}}`)
			case p == 10:
				data = []byte(`{"value":"m","metadata":null}`)
			}
			r, err := s.try(u, method, path, data)
			if err != nil {
				return err
			}
			if r.status != 200 && r.status != 201 && r.Code != "VAULT_LIMIT_EXCEEDED" &&
				r.Code != "VAULT_KEY_NOT_FOUND" {
				return fmt.Errorf("%s %s: got %d %.200s", method, path, r.status, r.raw)
			}
		}
		return nil
	})
	s.checkAccounts()
	if got := s.used(u.UserID); got > 40_000 {
		t.Errorf("the quota was passed: %d", got)
	}
	for _, query := range realms { // every remaining item opens, with its own metadata
		var list []item
		if err := json.Unmarshal(s.call(u, "GET", "/api/v1/vault/keys"+query, nil).Data, &list); err != nil {
			t.Fatal(err)
		}
		for _, i := range list {
			if r := s.call(u, "GET", "/api/v1/vault/keys/"+i.Key+query, nil); r.status != 200 {
				t.Errorf("%s: got %s", i.Key, r.raw)
			}
		}
	}
}

func TestConcurrentFirstWritesUseOneDataKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := run(t, s.cfg) // a second replica, with a cache of its own
	for range 5 {
		u := user()
		parallel(t, 20, func(n int) error {
			replica := []*stack{s, other}[n%2]
			r, err := replica.try(u, "PUT", fmt.Sprint("/api/v1/vault/keys/k", n), body("v"))
			if err == nil && r.status != 201 {
				err = fmt.Errorf("got %d %s", r.status, r.raw)
			}
			return err
		})
		for n := range 20 {
			r := []*stack{other, s}[n%2].call(u, "GET", fmt.Sprint("/api/v1/vault/keys/k", n), nil)
			if r.status != 200 {
				t.Errorf("the other replica does not open the item: %s", r.raw)
			}
		}
	}
	s.checkAccounts()
}

// TestAUserWithADataKeyAndNoAccountMayWrite covers a state of older releases. They created the
// account with the first item, and could crash after they had stored the data key.
func TestAUserWithADataKeyAndNoAccountMayWrite(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := within(user(), 1000)
	s.put(u, "a", "", "v")
	s.call(u, "DELETE", "/api/v1/vault", nil)
	if tag, err := s.pool.Exec(t.Context(), `DELETE FROM vault_usage WHERE user_id = $1`, u.UserID); err != nil ||
		tag.RowsAffected() != 1 {
		t.Fatal(tag, err)
	}
	other := run(t, s.cfg) // a replica that does not have the key in memory
	parallel(t, 8, func(n int) error {
		_, err := other.try(u, "PUT", fmt.Sprint("/api/v1/vault/keys/k", n%4), body(strings.Repeat("x", 100)))
		return err
	})
	if got := s.used(u.UserID); got != 400 {
		t.Errorf("account says %d, want 400", got)
	}
	s.checkAccounts()
}

func TestStatisticsOfTheRealmAndTheQuota(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	r := s.call(u, "GET", "/api/v1/vault/stats", nil)
	want := `{"total_keys":0,"total_size_bytes":0,"total_size_mb":0,` +
		`"limit_mb":50,"used_percentage":0,"remaining_mb":50,` +
		`"history_size_bytes":0,"trash_size_bytes":0,"history_limit_mb":50}`
	if r.Message != "Vault statistics retrieved successfully" || string(r.Data) != want {
		t.Errorf("an empty vault: got %s, want %s", r.raw, want)
	}
	s.put(u, "k", "", strings.Repeat("x", 10240))
	s.put(u, "l", "?realm_id="+realmA, strings.Repeat("x", 3<<20))
	r = s.call(u, "GET", "/api/v1/vault/stats", nil)
	want = `{"total_keys":1,"total_size_bytes":10240,"total_size_mb":0.009766,` +
		`"limit_mb":50,"used_percentage":6.02,"remaining_mb":46.990234,` +
		`"history_size_bytes":0,"trash_size_bytes":0,"history_limit_mb":50}`
	if string(r.Data) != want {
		t.Errorf("got %s, want %s", r.Data, want)
	}
	s.put(u, "m", "?realm_id="+realmA, "x")
	s.put(u, "m", "?realm_id="+realmA, "")
	s.call(u, "DELETE", "/api/v1/vault/keys/k?recoverable=true", nil)
	r = s.call(within(u, 4<<20), "GET", "/api/v1/vault/stats?realm_id="+realmA, nil)
	want = `{"total_keys":2,"total_size_bytes":3145728,"total_size_mb":3,` +
		`"limit_mb":4,"used_percentage":75,"remaining_mb":1,` +
		`"history_size_bytes":1,"trash_size_bytes":10240,"history_limit_mb":4}`
	if string(r.Data) != want {
		t.Errorf("got %s, want %s", r.Data, want)
	}
}

// parallel runs f n times at once and fails the test for each error.
func parallel(t *testing.T, n int, f func(int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
