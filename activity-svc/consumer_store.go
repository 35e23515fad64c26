package activity

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/db"
)

// store is the database of the log.
type store struct {
	pool       *db.Pool
	partitions partitions
}

// installation identifies this database's events on a NATS server that others use as well.
type installation struct {
	id string
	// upgraded is set when a release before the id wrote to this database, and to a stream without
	// an id.
	upgraded bool
}

func (s *store) installation(ctx context.Context) (i installation, err error) {
	return i, s.pool.QueryRow(ctx, `SELECT id, upgraded FROM installation`).Scan(&i.id, &i.upgraded)
}

// insert stores the rows in one transaction and marks those that are new as stored. A row that is
// there already changes nothing, also when another replica is storing it at this moment.
func (s *store) insert(ctx context.Context, rows []*record) error {
	rows = inOrder(rows)
	if len(rows) == 0 {
		return nil
	}
	if err := s.makePartitions(ctx, daysOf(rows)); err != nil {
		return err
	}
	added, err := s.insertCounted(ctx, rows, copyIn)
	if mayBeDuplicate(err) {
		// COPY cannot skip rows that are there, but it is twice as fast as insertNew, which is for
		// the rare batch that comes a second time.
		added, err = s.insertCounted(ctx, rows, insertNew)
	}
	if err != nil {
		if isNoPartition(err) {
			s.partitions.reset()
		}
		return err
	}
	for _, r := range added {
		r.stored = true
	}
	return nil
}

// insertCounted lets write store rows, counts those that came late, and returns all that were
// stored.
func (s *store) insertCounted(ctx context.Context, rows []*record,
	write func(context.Context, pgx.Tx, []*record) ([]*record, error)) (added []*record, err error) {
	err = s.withWatermark(ctx, func(tx pgx.Tx, watermark time.Time) (err error) {
		if added, err = write(ctx, tx, rows); err != nil {
			return err
		}
		return addLate(ctx, tx, added, watermark)
	})
	return added, err
}

func daysOf(rows []*record) []time.Time {
	var days []time.Time
	seen := map[int64]bool{}
	for _, r := range rows {
		day := timerange.DayOf(idTime(r.id))
		if !seen[day.Unix()] {
			seen[day.Unix()] = true
			days = append(days, day)
		}
	}
	return days
}

// deadLetter is a message that can never become a record.
type deadLetter struct {
	digest  []byte
	seq     uint64
	reason  string
	payload []byte
}

// insertDeadLetters keeps dead letters; one that was kept before changes nothing.
func (s *store) insertDeadLetters(ctx context.Context, letters []deadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	for _, l := range letters {
		b.Queue(`
			INSERT INTO activity_dead_letters (digest, stream_seq, received_at, reason, payload) VALUES ($1, $2, now(), $3, $4)
			ON CONFLICT ON CONSTRAINT activity_dead_letters_pkey DO NOTHING`, l.digest, int64(l.seq), l.reason, l.payload)
	}
	return s.pool.SendBatch(ctx, b).Close()
}

// SQLSTATEs, PostgreSQL appendix A.
const (
	uniqueViolation = "23505"
	checkViolation  = "23514"
	dataException   = "22"
	// Of the class of data exceptions, and no fault of the data: what copyFormat writes is not what
	// the columns take.
	wrongBinary     = "22P03"
	wrongCopy       = "22P04"
	integrityBroken = "23"
	internalError   = "XX000"
)

func sqlState(err error) (*pgconn.PgError, string) {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe, pe.Code
	}
	return nil, ""
}

// mayBeDuplicate reports that COPY failed on a row that is there. Citus says only that it failed.
func mayBeDuplicate(err error) bool {
	_, code := sqlState(err)
	return code == uniqueViolation || code == internalError
}

// isNoPartition reports that a row's day has no partition: it was dropped, by a replica whose clock
// is ahead, after this one had seen it. A broken constraint has the same code; PostgreSQL tells its
// name, and Citus only the text.
func isNoPartition(err error) bool {
	pe, code := sqlState(err)
	return code == checkViolation && pe.ConstraintName == "" && !strings.Contains(pe.Message, "violates check constraint")
}

// isUnstorable reports that the data itself cannot be stored: no later attempt can succeed.
func isUnstorable(err error) bool {
	_, code := sqlState(err)
	if code == uniqueViolation || code == wrongBinary || code == wrongCopy || isNoPartition(err) {
		return false
	}
	return strings.HasPrefix(code, dataException) || strings.HasPrefix(code, integrityBroken)
}
