package main

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// query runs sql and calls row for each row.
func (w *world) query(ctx context.Context, sql string, row func(pgx.Rows) error, args ...any) error {
	c, err := pgx.Connect(ctx, w.postgres.url())
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// readLog enters the records of activity-svc into the ledger.
func (w *world) readLog(ctx context.Context) error {
	return w.query(ctx, `SELECT user_agent, encode(user_id, 'hex'), method, path, encode(realm_id, 'hex'), status, count(*)
		FROM activity_svc.activity WHERE user_agent LIKE $1 GROUP BY 1, 2, 3, 4, 5, 6`, func(rows pgx.Rows) error {
		var agent string
		var r record
		if err := rows.Scan(&agent, &r.user, &r.method, &r.path, &r.realm, &r.status, &r.count); err != nil {
			return err
		}
		if n, ok := numberOf(agent); ok {
			w.ledger.record(n, r)
		}
		return nil
	}, agentPrefix+"%")
}

// changesFor returns the changes that the witness must have been told, in order.
func (w *world) changesFor(ctx context.Context, t *witness) (rows []sighting, err error) {
	err = w.query(ctx, `SELECT revision::text, event, key, number FROM vault_svc.vault_changes
		WHERE user_id = $1 AND realm_id = $2 ORDER BY vault_changes.revision`, func(r pgx.Rows) error {
		var id, event, key string
		var number int64
		err := r.Scan(&id, &event, &key, &number)
		rows = append(rows, sighting{id, changeText(event, key, number)})
		return err
	}, t.who.id, t.realm)
	return rows, err
}

// auditUsage compares the stored usage of each user's vault with the items.
func (w *world) auditUsage(ctx context.Context) error {
	return w.query(ctx, `SELECT coalesce(u.user_id, i.user_id), coalesce(u.bytes, 0), coalesce(u.items, 0), coalesce(i.bytes, 0), coalesce(i.items, 0)
		FROM vault_svc.vault_usage u
		FULL JOIN (SELECT user_id, sum(size_bytes)::bigint AS bytes, count(*) AS items FROM vault_svc.vault_items GROUP BY 1) i ON i.user_id = u.user_id
		WHERE coalesce(u.bytes, 0) <> coalesce(i.bytes, 0) OR coalesce(u.items, 0) <> coalesce(i.items, 0)`, func(rows pgx.Rows) error {
		var user string
		var bytes, items, sum, count int64
		if err := rows.Scan(&user, &bytes, &items, &sum, &count); err != nil {
			return err
		}
		w.ledger.breach(ruleQuota, "user %s: the account says %d bytes in %d items, the items are %d bytes in %d", user,
			bytes, items, sum, count)
		return nil
	})
}

// auditCounts compares the statistics of the log with its records. The requests of the audit itself
// are recorded meanwhile, so the number must lie between two counts.
func (w *world) auditCounts(ctx context.Context) error {
	for _, who := range w.load.accounts {
		before, err := w.countRecords(ctx, who)
		if err != nil {
			return err
		}
		said, err := w.recordsOf(who)
		if err != nil {
			return err
		}
		after, err := w.countRecords(ctx, who)
		if err != nil {
			return err
		}
		if said < before || said > after {
			w.ledger.breach(ruleLog, "%s: statistics say %d records, the log has %d to %d", who.email, said, before,
				after)
		}
	}
	return nil
}

func (w *world) countRecords(ctx context.Context, who account) (n int64, err error) {
	err = w.query(ctx, `SELECT count(*) FROM activity_svc.activity WHERE user_id = decode($1, 'hex')`,
		func(rows pgx.Rows) error { return rows.Scan(&n) }, who.id)
	return n, err
}
