package vault

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// streamed is an event of a watch.
type streamed struct {
	name, id string
	data     change
	raw      string // data as it came
}

// watching is an open watch.
type watching struct {
	t   testing.TB
	r   *bufio.Reader
	res *http.Response
}

func (s *stack) watch(i auth.Identity, query, last string) *watching {
	s.t.Helper()
	header, err := s.signer.Sign(i, Name)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", "http://"+s.addr+"/api/v1/vault/watch"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set(auth.IdentityHeader, header)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := (&http.Transport{}).RoundTrip(req)
	if err != nil || res.StatusCode != 200 {
		s.t.Fatalf("watch%s: %v, %v", query, res, err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return &watching{s.t, bufio.NewReader(res.Body), res}
}

// next returns the next event.
func (w *watching) next() (e streamed) {
	w.t.Helper()
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			w.t.Fatalf("the watch ended: %v", err)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case field == "event":
			e.name = value
		case field == "id":
			e.id = value
		case field == "data":
			e.raw = value
			_ = json.Unmarshal([]byte(value), &e.data) // of a sync, it has other fields
		case e.name != "":
			return e
		}
	}
}

// change returns the next event that is no sync.
func (w *watching) change() streamed {
	w.t.Helper()
	for {
		if e := w.next(); e.name != "sync" {
			return e
		}
	}
}

// wants checks the next changes, each "event key version".
func (w *watching) wants(all ...string) (last string) {
	w.t.Helper()
	for _, want := range all {
		e := w.change()
		if got := fmt.Sprintf("%s %s %d", e.name, e.data.Key, e.data.Version); got != want {
			w.t.Errorf("got %q, want %q", got, want)
		}
		if id := strconv.FormatInt(e.data.Revision, 10); e.id != id {
			w.t.Errorf("id %s, revision %s", e.id, id)
		}
		last = e.id
	}
	return last
}

func TestAWatchTellsEveryChangeOfItsRealm(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, realm := user(), strings.Repeat("a", 24)
	s.put(ada, "before", "", "1")
	w, a := s.watch(ada, "", ""), s.watch(ada, "?realm_id="+realm+"&prefix=a.", "")
	if got := w.next(); got.name != "sync" || got.id != "1" || got.raw != `{"id":"1"}` {
		t.Errorf("the first event is %+v", got)
	}
	s.put(ada, "a.b", "", "secret")
	s.put(ada, "a.b", "", "secret2")
	s.put(ada, "a.in", "?realm_id="+realm, "1")
	s.put(ada, "b.in", "?realm_id="+realm, "1")
	s.put(user(), "a.b", "", "of another user")
	s.call(ada, "DELETE", "/api/v1/vault/keys/a.b", nil)
	s.call(ada, "DELETE", "/api/v1/vault", nil)
	w.wants("put a.b 1", "put a.b 2", "delete a.b 2", "delete before 1")
	e := a.change()
	if e.name != "put" || e.data.Key != "a.in" || e.data.RealmID != realm || e.id != "4" ||
		strings.Contains(e.raw, "value") || time.Since(time.Time(e.data.At)).Abs() > time.Hour {
		t.Errorf("got %+v", e)
	}
	s.call(ada, "DELETE", "/api/v1/vault?realm_id="+realm, nil)
	a.wants("delete a.in 1")
	if head := s.call(ada, "HEAD", "/api/v1/vault/watch", nil); head.status != 200 {
		t.Errorf("HEAD: %d", head.status)
	}
}

func TestAWatchResumesWithoutGapOrRepetition(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := user()
	if got := s.watch(ada, "", "0").next(); got.name != "sync" || got.id != "0" {
		t.Errorf("before the first change: %+v", got)
	}
	for i := range 3 {
		s.put(ada, fmt.Sprint("k", i), "", "1")
	}
	s.watch(ada, "", "0").wants("put k0 1", "put k1 1", "put k2 1")
	w := s.watch(ada, "", "2")
	if got := w.next(); got.name != "sync" || got.id != "2" {
		t.Errorf("the first event after resuming is %+v", got)
	}
	w.wants("put k2 1")
	for _, last := range []string{"4", "-1", "01", "+1", "1.0", "x", "99999999999999999999", " 1x"} {
		w := s.watch(ada, "", last)
		if got := w.next(); got.name != "reset" || got.id != "3" || got.raw != "{}" {
			t.Errorf("after %q: got %+v, want a reset", last, got)
		}
		if got := w.next(); got.name != "sync" || got.id != "3" {
			t.Errorf("after %q: got %+v, want a sync", last, got)
		}
	}
	if _, err := s.pool.Exec(t.Context(), `UPDATE vault_changes SET at = at - interval '24 hours 1 minute'
		WHERE user_id = $1 AND revision <= 2`, ada.UserID); err != nil {
		t.Fatal(err)
	}
	s.watch(ada, "", "2").wants("put k2 1")
	if got := s.watch(ada, "", "1").next(); got.name != "reset" {
		t.Errorf("from a position of yesterday: got %+v, want a reset", got)
	}
}

func TestAWatchShowsWhatItsTokenMayRead(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := user()
	token := auth.Identity{Kind: auth.Token, UserID: ada.UserID, TokenID: ada.SessionID,
		Grant: &auth.Grant{AllowNoRealm: true, Permissions: []string{auth.PermVault},
			VaultScope: &auth.VaultScope{ReadOnly: true, Prefixes: []string{"app.", "lib."}}}}
	w, narrow, outside := s.watch(token, "", ""), s.watch(token, "?prefix=app.x", ""), s.watch(token, "?prefix=z", "")
	for _, key := range []string{"secret", "app.y", "app.x", "lib.z", "zz"} {
		s.put(ada, key, "", "1")
	}
	w.wants("put app.y 1", "put app.x 1", "put lib.z 1")
	narrow.wants("put app.x 1")
	for {
		e := outside.next()
		if e.name != "sync" {
			t.Fatalf("outside of its prefixes the token got %+v", e)
		}
		if e.id == "5" { // the position moves with the changes that the stream leaves out
			break
		}
	}
	token.Grant = &auth.Grant{AllowNoRealm: true, EventAccess: true}
	if r := s.call(token, "GET", "/api/v1/vault/watch", nil); r.status != 403 || r.Code != "INSUFFICIENT_PERMISSIONS" {
		t.Errorf("without access: %d %s", r.status, r.raw)
	}
}

// TestReplicasTellEachOther with NATS, and find out without it.
func TestReplicasTellEachOther(t *testing.T) {
	t.Parallel()
	broker := testkit.StartNATS(t)
	s := start(t, func(c *Config) { c.Bus.URL = config.Secret(broker.URL()) })
	other := run(t, s.cfg)
	ada := user()
	w := other.watch(ada, "", "")
	s.put(ada, "a", "", "1")
	w.wants("put a 1")
	broker.Stop()
	s.put(ada, "b", "", "1")
	w.wants("put b 1")
}

// TestWatchersOfRacingWritesSeeEachChangeOnce: they resume again and again.
func TestWatchersOfRacingWritesSeeEachChangeOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := run(t, s.cfg)
	ada := user()
	const writers, writes = 6, 40
	var wait sync.WaitGroup
	for n := range writers {
		wait.Go(func() {
			for i := range writes {
				on := s
				if i%2 == 0 {
					on = other
				}
				if r, err := on.try(ada, "PUT", fmt.Sprintf("/api/v1/vault/keys/k%d", (n+i)%7), body(fmt.Sprint(i))); err != nil ||
					r.status > 201 {
					t.Errorf("%d %v", r.status, err)
				}
			}
		})
	}
	for _, from := range []*stack{s, other} {
		wait.Go(func() {
			last, versions := "0", map[string]int64{}
			for seen := 0; seen < writers*writes; {
				w := from.watch(ada, "", last)
				for range min(17, writers*writes-seen) {
					e := w.change()
					seen++
					if want := strconv.Itoa(seen); e.id != want || e.name != "put" || e.data.Version != versions[e.data.Key]+1 {
						t.Errorf("got %+v, want id %s and version %d", e, want, versions[e.data.Key]+1)
						return
					}
					versions[e.data.Key], last = e.data.Version, e.id
				}
				_ = w.res.Body.Close()
			}
		})
	}
	wait.Wait()
}

func TestAWatchOutlivesAnOutageOfTheDatabase(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := user()
	w := s.watch(ada, "", "")
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if _, err := s.pool.Exec(ctx, `ALTER TABLE vault_changes RENAME TO gone`); err != nil {
		t.Fatal(err)
	}
	if r := s.call(ada, "GET", "/api/v1/vault/watch", nil); r.status < 500 {
		t.Errorf("a new watch: %d", r.status)
	}
	if _, err := s.pool.Exec(ctx, `ALTER TABLE gone RENAME TO vault_changes`); err != nil {
		t.Fatal(err)
	}
	s.put(ada, "a", "", "1")
	w.wants("put a 1")
}
