package users

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// maxSessions bounds the live sessions of a user: what signs in with every run and never signs out
// must not fill the database. It is also what the list of sessions shows.
const maxSessions = 1000

// openInPlaceOfOldest opens a session and ends the oldest ones beyond maxSessions, in one
// transaction. The history tells, and the gateways refuse the ended ones at once.
func (s *sessions) openInPlaceOfOldest(ctx context.Context, o opening, now time.Time) (opened, error) {
	var out opened
	var ch *sessionstate.Change
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		ch = nil
		var err error
		if out, err = s.open(ctx, tx, o, math.MaxInt32, now); err != nil || out.outcome != signInOpened {
			return err
		}
		ended, err := endOldestSessions(ctx, tx, o.live, maxSessions-1, now)
		if err != nil || ended == 0 { // enough ended in the meantime
			return err
		}
		event := happening{UserID: o.live.UserID, Event: eventSessionLimit, Device: o.device}
		if err := remember(ctx, tx, now, event); err != nil {
			return err
		}
		raised, err := raiseVersion(ctx, tx, o.live.UserID)
		ch = &raised
		return err
	})
	if err == nil && ch != nil {
		s.notify.changed(ctx, *ch)
	}
	return out, err
}

// endOldestSessions ends the live sessions of the user but opened and the newest of the others.
func endOldestSessions(ctx context.Context, tx dbtx, opened liveSession, others int, now time.Time) (int64, error) {
	tag, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $3, ended_why = $5 WHERE id IN (
			SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 AND ended_at IS NULL AND expires_at > $3
			ORDER BY created_at DESC, id DESC OFFSET $4)`,
		opened.UserID, opened.ID, now, others, eventSessionLimit)
	return tag.RowsAffected(), err
}
