package activity

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
)

// traffic makes n encoded events: of users who are not equally busy (Zipf over the given number of
// them), now, with a dozen paths and statuses.
func traffic(n, users int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 10, uint64(users-1))
	ids := make([]string, users)
	for i := range ids {
		ids[i] = id.New(time.Now())
	}
	out := make([][]byte, n)
	for i := range out {
		e := event.Request{
			ID: id.New(time.Now()), UserID: ids[zipf.Uint64()],
			Method:    []string{"GET", "GET", "GET", "GET", "POST", "PATCH", "DELETE"}[r.IntN(7)],
			Path:      fmt.Sprintf("/api/v1/vault/keys/some-key-%d", r.IntN(1000)),
			Status:    []int{200, 200, 200, 200, 200, 200, 201, 404}[r.IntN(8)],
			IPAddress: fmt.Sprintf("203.0.113.%d", r.IntN(256)),
			UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
		}
		e.RequestID, e.DurationMS, e.Auth, e.AuthID = id.New(time.Now()), r.Int64N(50), event.AuthSession, e.UserID
		if r.IntN(4) == 0 {
			e.RealmID = "507f1f77bcf86cd799439011"
		}
		out[i], _ = e.Encode()
	}
	return out
}

const benchBatch = 1000

func decodeAll(b *testing.B, messages [][]byte) (rows []*record) {
	b.Helper()
	for _, m := range messages {
		e, err := event.Decode(m)
		if err != nil {
			b.Fatal(err)
		}
		rows = append(rows, recordsOf(e)...)
	}
	return rows
}

// BenchmarkStore compares, batch by batch in turn, what the consumer does with 1000 messages
// (decode, store once, and count them every countEvery batches) to a bare COPY of the same rows
// into the same table, one transaction each. The metric "ratio" is rows/s stored by rows/s copied.
func BenchmarkStore(b *testing.B) {
	const countEvery = 40
	for _, users := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			plain, s := newStore(b), newStore(b)
			for _, s := range []*store{plain, s} {
				if err := s.makePartitions(b.Context(), []time.Time{timerange.DayOf(time.Now())}); err != nil {
					b.Fatal(err)
				}
			}
			c := &consumer{store: s, retention: 365, now: time.Now, metrics: newMetrics(nil)}
			if err := s.moveWatermark(b.Context(), time.Now().Truncate(time.Millisecond)); err != nil {
				b.Fatal(err)
			}
			messages := traffic(benchBatch*b.N, users)
			rows := decodeAll(b, messages)
			var copying, storing time.Duration
			b.ResetTimer()
			for n := range b.N {
				from, to := n*benchBatch, (n+1)*benchBatch
				start := time.Now()
				bareCopy(b, plain, rows[from:to])
				copied := time.Now()
				storeBatch(b, c, messages[from:to])
				if (n+1)%countEvery == 0 || n+1 == b.N {
					if err := s.moveWatermark(b.Context(), idTime(rows[to-1].id)); err != nil {
						b.Fatal(err)
					}
				}
				copying, storing = copying+copied.Sub(start), storing+time.Since(copied)
			}
			b.ReportMetric(copying.Seconds()/storing.Seconds(), "ratio")
			b.ReportMetric(float64(b.N*benchBatch)/storing.Seconds(), "stored/s")
			b.ReportMetric(float64(b.N*benchBatch)/copying.Seconds(), "copied/s")
		})
	}
}

func storeBatch(b *testing.B, c *consumer, messages [][]byte) {
	b.Helper()
	var batch []*delivery
	mayStore := c.boundsAt(db.Times{Process: time.Now(), Database: time.Now()})
	for _, m := range messages {
		d, _ := c.read(m, 1, mayStore)
		batch = append(batch, d)
	}
	if err := c.insert(context.Background(), batch); err != nil {
		b.Fatal(err)
	}
}

func bareCopy(b *testing.B, s *store, rows []*record) {
	b.Helper()
	_, err := s.pool.CopyFrom(b.Context(), pgx.Identifier{"activity"}, columns,
		pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			r := rows[i]
			return []any{[]byte(r.userID), []byte(r.id), []byte(r.realmID), r.method, r.path, r.status, r.ipAddress,
				r.userAgent, []byte(r.credential.id), r.credential.requestID, r.credential.durationMS, r.credential.kind}, nil
		}))
	if err != nil {
		b.Fatal(err)
	}
}
