package activity

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/internalapi"
)

// The key of the counts has the day before the realm, so a walk along it passes over the counts of
// all other realms, of which a user may have any number. What follows looks the counts of one realm
// up by the whole key instead, in each month and day of which the user has any; those are found by
// steps along the key.
const (
	matchesOfRealm = ` user_id = $1 AND realm_id = $2 AND ($3::text IS NULL OR method = $3) AND status BETWEEN $4 AND $5`

	// daysOfRealm ends a statement that counts the days of ranges.
	daysOfRealm = `days (after, day) AS (
		SELECT after, next.day FROM ranges CROSS JOIN LATERAL
			(SELECT day FROM activity_daily WHERE user_id = $1 AND day >= first AND day < after ORDER BY day LIMIT 1) AS next
		UNION ALL
		SELECT after, next.day FROM days AS last CROSS JOIN LATERAL
			(SELECT day FROM activity_daily WHERE user_id = $1 AND day > last.day AND day < after ORDER BY day LIMIT 1) AS next
	)
	SELECT days.day, days.day + 1, false, records, bytes FROM days CROSS JOIN LATERAL
		(SELECT sum(records)::bigint AS records, sum(bytes)::bigint AS bytes FROM activity_daily AS c WHERE` + matchesOfRealm + ` AND c.day = days.day) AS counts
	WHERE records > 0`

	// countWholeDaysOfRealm is countWholeDays for one realm.
	countWholeDaysOfRealm = `
	WITH RECURSIVE months AS (
		(SELECT month FROM activity_monthly WHERE user_id = $1 AND month >= $7::date AND month < $8::date ORDER BY month LIMIT 1)
		UNION ALL
		SELECT next.month FROM months AS last CROSS JOIN LATERAL
			(SELECT month FROM activity_monthly WHERE user_id = $1 AND month > last.month AND month < $8::date ORDER BY month LIMIT 1) AS next
	)
	SELECT months.month, LEAST((months.month + interval '1 month')::date, $10::date + 1), true, records, bytes FROM months CROSS JOIN LATERAL
		(SELECT sum(records)::bigint AS records, sum(bytes)::bigint AS bytes FROM activity_monthly AS c WHERE` + matchesOfRealm + ` AND c.month = months.month) AS counts
	WHERE records > 0
	UNION ALL (
		WITH RECURSIVE ranges (first, after) AS (VALUES ($6::date, $7::date), (GREATEST($7::date, $10::date + 1), $8::date), ($8::date, $9::date)), ` + daysOfRealm + `
	)`

	// readDaysOfRealm is readDaysOfAll for one realm.
	readDaysOfRealm = `
	WITH RECURSIVE ranges (first, after) AS (SELECT * FROM unnest($6::date[], $7::date[])), ` + daysOfRealm

	// readBucketsOfRealm is readBuckets for one realm.
	readBucketsOfRealm = `
	SELECT records, NULL FROM activity_daily WHERE` + matchesOfRealm + ` AND day = $6::date
	UNION ALL
	SELECT 0, buckets FROM activity_histogram WHERE` + matchesOfRealm + ` AND day = $6::date`
)

// mostRealms is how many realms of a user are listed. Each request may be in a realm of its own, so
// something must bound the answer.
const mostRealms = 10_000

// realms returns the realms that a user's records were in last, the last one first, and how many
// records each has; the place outside of every realm is none. What is summed by months was as far
// as this knows used on the first day of its month.
func (s *store) realms(ctx context.Context, userID string) (out []internalapi.RealmUsage, err error) {
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
			out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[internalapi.RealmUsage])
			return err
		})
		return tx.SendBatch(ctx, b).Close()
	})
	return out, err
}
