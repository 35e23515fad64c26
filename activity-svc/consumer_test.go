package activity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func manyEvents(n int) []event.Request {
	users := []string{newUser().UserID, newUser().UserID, newUser().UserID}
	now := time.Now()
	out := make([]event.Request, n)
	for i := range out {
		out[i] = event.Request{
			ID: id.New(now.Add(-time.Duration(i) * 7 * time.Minute)), UserID: users[i%len(users)], Method: "GET",
			Path: fmt.Sprint("/", i), Status: 200 + i%3,
		}
	}
	return out
}

func TestTwoReplicasStoreNothingTwice(t *testing.T) {
	t.Parallel()
	h := prepare(t, func(c *Config) { c.Batch = 20 })
	one, two := h.run(), h.run()
	events := manyEvents(300)
	for i, e := range events {
		b, _ := e.Encode()
		h.publishRaw(e.ID, b)
		if i%2 == 0 { // a gateway that sends again after the stream forgot the id
			h.publishRaw(e.ID+" again", b)
		}
	}
	h.drained()
	h.agrees(300)
	sum := map[outcome]int{}
	h.eventually("every delivery is counted", func() error {
		clear(sum)
		for _, r := range []*replica{one, two} {
			for o, n := range r.outcomes(t) {
				sum[o] += n
			}
		}
		if sum[stored]+sum[duplicate] < 450 {
			return fmt.Errorf("%v", sum)
		}
		return nil
	})
	if sum[stored] != 300 || sum[duplicate] != 150 || sum[dead]+sum[expired] != 0 {
		t.Errorf("outcomes: %v, want 300 stored and 150 duplicate", sum)
	}
}

func TestWritersThatOverlapStoreEachRecordOnce(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	s := openStore(t, h.cfg.DB.URL.Reveal())
	events := manyEvents(400)
	var wg sync.WaitGroup
	var mu sync.Mutex
	newRows := 0
	for w := range 6 {
		wg.Go(func() {
			for from := 0; from < len(events); from += 50 {
				var rows []*record
				for i := range 100 { // each half of which another writer has, too, in another order
					e := events[(from*(w%2*2-1)+i*(w+1)+len(events)*50)%len(events)]
					rows = append(rows, recordsOf(e)...)
				}
				if err := s.insert(t.Context(), rows); err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, r := range rows {
					if r.stored {
						newRows++
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	var rest []*record
	for _, e := range events {
		rest = append(rest, recordsOf(e)...)
	}
	if err := s.insert(t.Context(), rest); err != nil {
		t.Fatal(err)
	}
	for _, r := range rest {
		if r.stored {
			newRows++
		}
	}
	h.agrees(400)
	if newRows != 400 {
		t.Errorf("%d rows were said to be new, want 400", newRows)
	}
}

func TestACrashBetweenCommitAndAcknowledgementStoresNothingTwice(t *testing.T) {
	t.Parallel()
	h := prepare(t, func(c *Config) { c.Stream.AckWait = time.Second })
	s := openStore(t, h.cfg.DB.URL.Reveal())
	events := manyEvents(40)
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	dying, err := bus.Connect(h.cfg.Bus, "dying", testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	committed := make(chan error, 1)
	go func() {
		_ = dying.Consume(ctx, h.cfg.consumer(h.installation()), func(ctx context.Context, batch []bus.Message) error {
			var rows []*record
			for _, m := range batch {
				e, err := event.Decode(m.Data)
				if err != nil {
					return err
				}
				rows = append(rows, recordsOf(e)...)
			}
			err := s.insert(ctx, rows)
			dying.Close() // the process is gone: no acknowledgement leaves it
			committed <- err
			<-ctx.Done() // nor is another batch stored
			return ctx.Err()
		})
	}()
	h.eventually("the stream is made", func() error {
		_, err := h.bus.State(t.Context(), h.names().Stream, h.names().Consumer)
		return err
	})
	h.publish(events...)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	kill()
	before := h.query(`SELECT count(*) FROM activity`)
	if before == 0 {
		t.Fatal("nothing was committed before the crash")
	}
	r := h.run()
	h.drained()
	h.agrees(40)
	h.eventually("the duplicates are counted", func() error {
		if got := r.outcomes(t); int64(got[duplicate]) != before || int64(got[stored]) != 40-before {
			return fmt.Errorf("%v, want %d duplicate and %d stored", got, before, 40-before)
		}
		return nil
	})
}

func TestAStoppedReplicaHandsItsEventsToTheOther(t *testing.T) {
	t.Parallel()
	h := prepare(t, func(c *Config) { c.Batch, c.Stream.AckWait = 5, 10*time.Minute })
	one := h.run()
	h.run()
	events := manyEvents(200)
	h.publish(events[:100]...)
	go one.stop()
	h.publish(events[100:]...)
	h.drained() // long before the ack wait
	h.agrees(200)
}

func TestPoisonIsKeptAsideAndBlocksNothing(t *testing.T) {
	t.Parallel()
	h, r := start(t)
	// something that only the database knows
	h.query(`ALTER TABLE activity ADD CONSTRAINT poison CHECK (path <> '/poison')`)
	good := manyEvents(30)
	poison := good[7]
	poison.ID, poison.Path = id.New(time.Now()), "/poison"
	h.publish(good[:10]...)
	h.publishRaw("1", []byte("not json"))
	h.publish(poison)
	h.publishRaw("2", []byte(`{"id":"`+id.New(time.Now())+`","user_id":"`+newUser().UserID+`","method":"GET","path":"/\u0000","status":200}`))
	h.publishRaw("3", nil)
	// One bad event among good ones in a message: only that one is put aside.
	body := func(e event.Request) []byte {
		b, _ := e.Encode()
		return b
	}
	more := manyEvents(2)
	h.publishRaw("4", bytes.Join([][]byte{body(more[0]), []byte(`{"id":"cut o`), body(more[1])}, []byte("\n")))
	future := good[3]
	future.ID = id.New(time.Now().AddDate(0, 0, 9))
	h.publish(future)
	h.publish(good[10:]...)
	h.drained()
	h.agrees(32)
	if n := h.query(`SELECT count(*) FROM activity_dead_letters WHERE reason <> '' AND received_at > now() - interval '1 minute'`); n != 6 {
		t.Errorf("%d dead letters, want 6", n)
	}
	if n := h.query(`SELECT count(*) FROM activity_dead_letters WHERE payload = 'not json'`); n != 1 {
		t.Errorf("the payload is kept %d times", n)
	}
	h.eventually("all are counted", func() error {
		if got := r.outcomes(t); got[stored] != 32 || got[dead] != 6 || got[duplicate]+got[expired] != 0 {
			return fmt.Errorf("%v, want 32 stored and 6 dead", got)
		}
		return nil
	})
}

func TestLateAndEarlyEvents(t *testing.T) {
	t.Parallel()
	h, r := start(t, func(c *Config) { c.Retention = 60 })
	user := newUser()
	now := time.Now()
	h.publish(
		at(now.AddDate(0, 0, -59), user, "GET", 200),
		at(now.AddDate(0, 0, -30), user, "GET", 201),
		at(now.AddDate(0, 0, 5), user, "GET", 202),
		at(now.AddDate(0, 0, -62), user, "GET", 500), // too old
		at(time.Unix(0, 0), user, "GET", 501),        // far too old
	)
	h.drained()
	h.agrees(3)
	if a := h.get(user, logPath); a.Metadata.Total != 3 || a.records(t)[0].StatusCode != 202 ||
		a.records(t)[2].StatusCode != 200 {
		t.Errorf("got %s", a.body)
	}
	h.eventually("all are counted", func() error {
		if got := r.outcomes(t); got[stored] != 3 || got[expired] != 2 {
			return fmt.Errorf("%v, want 3 stored and 2 expired", got)
		}
		return nil
	})
}

func TestTheFirstDayThatIsKeptIsStoredWhole(t *testing.T) {
	t.Parallel()
	h := prepare(t, func(c *Config) { c.Retention = 10 })
	r := h.run()
	user, first := newUser(), timerange.DayOf(time.Now()).AddDate(0, 0, -10)
	h.publish(at(first, user, "GET", 200), at(first.Add(-time.Millisecond), user, "GET", 201))
	h.drained()
	if !first.Equal(timerange.DayOf(time.Now()).AddDate(0, 0, -10)) {
		t.Skip("midnight came meanwhile")
	}
	h.eventually("both are counted", func() error {
		if got := r.outcomes(t); got[stored] != 1 || got[expired] != 1 {
			return fmt.Errorf("%v, want 1 stored and 1 expired", got)
		}
		return nil
	})
	if got := h.get(user, logPath).records(t); len(got) != 1 || got[0].StatusCode != 200 {
		t.Errorf("got %+v", got)
	}
}

func TestAnActOnAnotherUserStandsInBothLogs(t *testing.T) {
	t.Parallel()
	h, r := start(t)
	admin, other := newUser(), newUser()
	e := at(time.Now(), admin, "PATCH", 200)
	e.RequestID, e.Auth, e.AuthID = "r", event.AuthSession, admin.SessionID
	e.OnUserID, e.Path = other.UserID, "/api/v1/users/"+other.UserID
	self := at(time.Now(), admin, "PATCH", 200)
	self.OnUserID = admin.UserID
	b, _ := e.Encode()
	h.publish(e, self)
	h.publishRaw("once more", b)
	h.drained()
	h.agrees(3)
	mine, theirs := h.get(admin, logPath).records(t), h.get(other, logPath).records(t)
	if len(mine) != 2 || len(theirs) != 1 {
		t.Fatalf("%d and %d records, want 2 and 1", len(mine), len(theirs))
	}
	if got := theirs[0]; got.ID != e.ID || got.UserID != other.UserID || got.Path != e.Path || got.Method != "PATCH" ||
		got.IPAddress != "" || got.UserAgent != "" || got.AuthID != nil || got.RequestID == nil || *got.RequestID != "r" {
		t.Errorf("the other user sees %+v", got)
	}
	if got := r.outcomes(t); got[stored] != 2 {
		t.Errorf("outcomes %v: an event counts once, however many logs it stands in", got)
	}
}

func TestNATSMayBeAway(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	h.broker.Stop()
	r := h.run()
	user := newUser()
	if a := h.get(user, logPath); a.StatusCode != http.StatusOK {
		t.Errorf("reading without NATS: %s", a.body)
	}
	h.eventually("ready, with a word about NATS", func() error {
		res, err := http.Get("http://" + r.svc.AdminAddr() + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		var report map[string]string
		b, _ := io.ReadAll(res.Body)
		if err := json.Unmarshal(b, &report); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK || report["database"] != "ok" ||
			!strings.HasPrefix(report["nats"], "NATS cannot be reached") {
			return errors.New(string(b))
		}
		return nil
	})
	h.broker.Restart()
	h.publish(at(time.Now(), user, "GET", 200))
	h.drained()
	h.broker.Restart()
	h.publish(at(time.Now(), user, "GET", 200))
	h.drained()
	h.agrees(2)
}

func TestEventsWaitForTheDatabase(t *testing.T) {
	t.Parallel()
	h, r := start(t)
	user := newUser()
	h.query(`ALTER TABLE activity_watermark RENAME TO away`)
	h.publish(at(time.Now(), user, "GET", 200))
	time.Sleep(500 * time.Millisecond)
	if n := h.query(`SELECT count(*) FROM activity`); n != 0 {
		t.Error("a record was stored although it is not known whether it is late")
	}
	h.query(`ALTER TABLE away RENAME TO activity_watermark`)
	h.drained()
	h.agrees(1)
	if got := r.outcomes(t); got[stored] != 1 || got[dead] != 0 {
		t.Errorf("outcomes %v", got)
	}
}
