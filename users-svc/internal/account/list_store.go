package account

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// List returns one page of users, the newest first, and how many the filter matches: of a
// search at most maxFound. Everything is of one snapshot.
func (s *Service) List(ctx context.Context, f Filter) (list []User, total int64, err error) {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, s.Pool, options, func(tx pgx.Tx) error {
		if f.Search == "" {
			list, total, err = listPage(ctx, tx, f)
		} else {
			list, total, err = searchPage(ctx, tx, f)
		}
		return err
	})
	return list, total, err
}

// conditions are those of the flags, each written out: only then does PostgreSQL see which index
// serves it.
func (f Filter) conditions() string {
	var s string
	for _, flag := range []struct {
		wanted *bool
		column string
	}{{f.Admin, "is_admin"}, {f.Banned, "is_banned"}} {
		switch {
		case flag.wanted == nil:
		case *flag.wanted:
			s += " AND " + flag.column
		default:
			s += " AND NOT " + flag.column
		}
	}
	return s
}

// listPage reads a page of all users, or of those with the flags. Their number is kept by triggers;
// the users between the page and the nearer end are passed over in the index alone.
func listPage(ctx context.Context, tx pgx.Tx, f Filter) ([]User, int64, error) {
	var total int64
	if err := tx.QueryRow(ctx, `SELECT coalesce(sum(users), 0)::bigint FROM user_counts WHERE true`+f.conditions()).Scan(&total); err != nil {
		return nil, 0, err
	}
	order, skip, take := "DESC", f.offset(), f.Limit
	if left := int(total) - skip; left < skip { // nearer to the oldest
		order, skip, take = "ASC", max(0, left-take), max(0, min(take, left))
	}
	list, err := readUsers(ctx, tx,
		`(SELECT id FROM users WHERE true`+f.conditions()+` ORDER BY id `+order+` LIMIT $1 OFFSET $2)`, take, skip)
	return list, total, err
}

func (f Filter) offset() int { return (f.Page - 1) * f.Limit }

// readUsers returns the users whose ids the query selects, the newest first.
func readUsers(ctx context.Context, tx pgx.Tx, ids string, args ...any) ([]User, error) {
	rows, err := tx.Query(ctx, `SELECT `+accountColumns+` FROM users WHERE id = ANY (ARRAY`+ids+`) ORDER BY id DESC`,
		args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (User, error) {
		a, err := scanAccount(row)
		return a.User, err
	})
}

const (
	// maxFound is how many users a search finds, the newest of those that match.
	maxFound = 1000
	// A text that more than commonAmong of the newest newestUsers hold is looked for in the newest
	// users without a look at the index.
	newestUsers, commonAmong = 1000, 200
	// maxCandidates is up to how many users are looked at because the index says that they may
	// match.
	maxCandidates = 5000
)

// Where the text stands in a user. strpos finds it as it is: LIKE would read % and _ in it.
const matchesText = `(id = $1 OR strpos(lower(username), lower($1)) > 0 OR strpos(email_key, lower($1)) > 0 OR strpos(lower(alias), lower($1)) > 0)`

// searchPage reads a page of the users that a search finds. Of a text that few users hold the index
// knows who may; a text that many hold is soon found in the newest users. All users are read only
// for a text of more than three characters that fewer than maxFound hold, while more than
// maxCandidates hold each three characters of it.
func searchPage(ctx context.Context, tx pgx.Tx, f Filter) ([]User, int64, error) {
	var common int
	err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT * FROM users ORDER BY id DESC LIMIT $2) AS newest WHERE `+matchesText, f.Search, newestUsers).Scan(&common)
	if err != nil {
		return nil, 0, err
	}
	var found []string
	few := common <= commonAmong
	if few {
		if found, few, err = searchIndex(ctx, tx, f); err != nil {
			return nil, 0, err
		}
	}
	if !few {
		rows, err := tx.Query(ctx, `SELECT id FROM users WHERE `+matchesText+f.conditions()+` ORDER BY id DESC LIMIT $2`,
			f.Search, maxFound)
		if err != nil {
			return nil, 0, err
		}
		if found, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, 0, err
		}
	}
	found = found[:min(len(found), maxFound)]
	list, err := readUsers(ctx, tx, `(SELECT unnest($1::text[]))`,
		found[min(f.offset(), len(found)):min(f.offset()+f.Limit, len(found))])
	return list, int64(len(found)), err
}

// searchIndex asks the index users_search for the users that hold every run of three characters of
// the text, or the whole text when it is shorter, and looks at these. It says false when they are
// too many. PostgreSQL could instead work out the runs of every user anew, and would not know how
// long that takes: so the other ways are closed meanwhile.
func searchIndex(ctx context.Context, tx pgx.Tx, f Filter) (found []string, few bool, err error) {
	const allow = `SELECT set_config(name, $1, true) FROM unnest('{enable_seqscan,enable_indexscan,enable_indexonlyscan}'::text[]) AS name`
	b := &pgx.Batch{}
	b.Queue(allow, "off")
	b.Queue(`
		WITH candidates AS MATERIALIZED (
			SELECT id, `+matchesText+f.conditions()+` AS hit FROM users
			WHERE search_grams(lower(username) || E'\n' || email_key || E'\n' || lower(alias)) COLLATE "C" @> (
				SELECT array_agg(substr(value, i, n)) FROM (SELECT lower($1) AS value, least(length(lower($1)), 3) AS n) AS text,
					LATERAL generate_series(1, length(value) - n + 1) AS i
			) LIMIT $2
		)
		SELECT coalesce(array_agg(DISTINCT id ORDER BY id DESC) FILTER (WHERE hit), '{}'), count(*) < $2
		FROM (TABLE candidates UNION ALL SELECT id, true FROM users WHERE id = $1`+f.conditions()+`) AS all_candidates`,
		f.Search, maxCandidates).QueryRow(func(row pgx.Row) error { return row.Scan(&found, &few) })
	b.Queue(allow, "on")
	return found, few, tx.SendBatch(ctx, b).Close()
}
