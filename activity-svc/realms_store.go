package activity

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// mostRealms is how many realms of a user are listed. Each request may be in a realm of its own, so something must bound the answer.
const mostRealms = 10_000

// realms returns the realms that a user's records were in last, the last one first, and how many records each has; the place outside of every realm is
// none. What is summed by months was as far as this knows used on the first day of its month.
func (s *store) realms(ctx context.Context, userID string) (out []RealmUsage, err error) {
	err = s.reading(ctx, func(tx pgx.Tx, reach counted) error {
		b := &pgx.Batch{}
		b.Queue(planForValues)
		b.Queue(`
			SELECT encode(realm_id, 'hex'), sum(records)::bigint, sum(bytes)::bigint FROM (
				SELECT realm_id, month AS used, records, bytes FROM activity_monthly WHERE user_id = $1
				UNION ALL
				SELECT realm_id, day, records, bytes FROM activity_daily WHERE user_id = $1 AND day > $2::date
				UNION ALL
				SELECT realm_id, 'infinity', 1, `+sizeOf+` FROM activity WHERE user_id = $1 AND id >= $3
			) AS counts WHERE realm_id <> '' GROUP BY realm_id ORDER BY max(used) DESC, realm_id LIMIT $4`,
			[]byte(userID), reach.summedUntil, firstID(reach.before), mostRealms).Query(func(rows pgx.Rows) (err error) {
			out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RealmUsage])
			return err
		})
		return tx.SendBatch(ctx, b).Close()
	})
	return out, err
}
