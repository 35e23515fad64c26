package apitoken

import (
	"context"
	"net/netip"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/permission"
)

const tokenColumns = `t.id, t.user_id, t.alias, t.public_key, t.public_storage, t.ip_whitelist, t.realm_ids,
	t.allow_no_realm, t.permissions, t.expires_at, t.is_enabled,
	t.vault_access OR t.scoped_vault_access, t.vault_read_only, t.vault_prefixes, t.event_access,
	t.created_by_token_id, t.delegation_depth, t.last_used_at, t.last_used_ip, t.created_at, t.updated_at`

func scanToken(row pgx.CollectableRow) (Token, error) { return scanTokenAnd(row) }

// scanTokenAnd reads tokenColumns, and the further columns of the query into extra.
func scanTokenAnd(row pgx.CollectableRow, extra ...any) (Token, error) {
	token := Token{Prefix: tokenPrefix}
	var storage, permissions []byte
	var addresses []string
	var expiresAt, lastUsedAt *time.Time
	var createdAt, updatedAt time.Time
	err := row.Scan(append([]any{&token.ID, &token.UserID, &token.Alias, &token.PublicKey, &storage, &addresses,
		&token.RealmIDs,
		&token.AllowNoRealm, &permissions, &expiresAt,
		&token.IsEnabled, &token.VaultAccess, &token.VaultReadOnly, &token.VaultPrefixes, &token.EventAccess,
		&token.CreatedByTokenID, &token.DelegationDepth,
		&lastUsedAt, &token.LastUsedIP, &createdAt,
		&updatedAt}, extra...)...)
	if err != nil {
		return token, err
	}
	token.PublicStorage, token.ExpiresAt, token.LastUsedAt = jsontext.Value(storage), api.TimePtr(expiresAt),
		api.TimePtr(lastUsedAt)
	token.CreatedAt, token.UpdatedAt = api.Time(createdAt), api.Time(updatedAt)
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address)
		if err != nil {
			return token, err
		}
		token.IPWhitelist = append(token.IPWhitelist, prefix)
	}
	token.Permissions, err = permission.Load(permissions)
	return token, err
}

// stored returns the entries as the database stores them, with prefix lengths.
func (list addressList) stored() []string {
	texts := make([]string, 0, len(list))
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return texts
}

// tokensOf returns the tokens of a user, newest first.
func tokensOf(ctx context.Context, q core.DBTX, userID string) ([]Token, error) {
	rows, err := q.Query(ctx, `SELECT `+tokenColumns+` FROM auth_tokens t
		WHERE t.user_id = $1 ORDER BY t.id DESC`, userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanToken)
}

// tokenByID returns a token of a user, or 404 TOKEN_NOT_FOUND.
func tokenByID(ctx context.Context, q core.DBTX, userID, tokenID string) (Token, error) {
	rows, err := q.Query(ctx, `SELECT `+tokenColumns+` FROM auth_tokens t WHERE t.user_id = $1 AND t.id = $2`, userID,
		tokenID)
	token, found, err := core.One(rows, err, scanToken)
	if err == nil && !found {
		err = errTokenNotFound()
	}
	return token, err
}

// lineageOf is the recursive part of a query for one token: it adds the ancestors, numbered by step
// from the nearest.
const lineageOf = `
		UNION ALL SELECT p.*, l.step + 1 FROM auth_tokens p JOIN lineage l ON p.id = l.created_by_token_id)`

// tokenLineage returns a token and its ancestors, nearest first; nothing when it does not exist.
func tokenLineage(ctx context.Context, q core.DBTX, userID, tokenID string) ([]Token, error) {
	rows, err := q.Query(ctx, `WITH RECURSIVE lineage AS (
		SELECT a.*, 0 AS step FROM auth_tokens a WHERE a.user_id = $1 AND a.id = $2`+lineageOf+`
		SELECT `+tokenColumns+` FROM lineage t ORDER BY t.step`, userID, tokenID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanToken)
}

// tokenState returns the state of a token's user, and the token with its ancestors, nearest first,
// by the hash of the token's secret. It reads all in one statement, so that the version of the
// state applies to the tokens too.
func tokenState(ctx context.Context, q core.DBTX, hash []byte) (sessionstate.State, []Token, error) {
	rows, err := q.Query(ctx, `WITH RECURSIVE lineage AS (
		SELECT a.*, 0 AS step FROM auth_tokens a WHERE a.hash = $1`+lineageOf+`
		SELECT `+tokenColumns+`, u.is_banned, u.state_version, u.vault_quota
		FROM lineage t JOIN users u ON u.id = t.user_id ORDER BY t.step`, hash)
	if err != nil {
		return sessionstate.State{}, nil, err
	}
	var state sessionstate.State
	lineage, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Token, error) {
		token, err := scanTokenAnd(row, &state.Banned, &state.Version, &state.VaultQuota)
		state.UserID = token.UserID
		return token, err
	})
	state.VaultQuota = quota.ToGateways(state.VaultQuota)
	return state, lineage, err
}

// useInterval is the least time between two updates of the last use of a token.
const useInterval = time.Minute

// recordUse stores the time and the client address of a use of a token. It does nothing within
// useInterval of the last stored use, or when the token does not exist.
func recordUse(ctx context.Context, q core.DBTX, tokenID, address string, now time.Time) error {
	_, err := q.Exec(ctx, `UPDATE auth_tokens SET last_used_at = $2, last_used_ip = nullif($3, '')
		WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $4)`, tokenID, now, address, now.Add(-useInterval))
	return err
}

// tokenRealms returns the realms to which tokens of a user are restricted, with the number of
// tokens.
func tokenRealms(ctx context.Context, q core.DBTX, userID string) ([]internalapi.RealmUsage, error) {
	rows, err := q.Query(ctx, `SELECT r, count(*), 0::bigint FROM auth_tokens, unnest(realm_ids) r
		WHERE user_id = $1 GROUP BY r ORDER BY r COLLATE "C"`, userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[internalapi.RealmUsage])
}

// lockedTx is a transaction that has locked the user's row. So changes to the tokens of one user
// run one after the other, and rules about all of them (their number, their aliases) hold exactly.
type lockedTx struct {
	pgx.Tx
	userID string
}

// change runs edit in a transaction, and makes the copies of the user's states in the gateways
// stale. edit may run more than once. Errors are those of edit, 404 USER_NOT_FOUND and
// DUPLICATE_ALIAS.
func (s *Service) change(ctx context.Context, userID string, edit func(lockedTx) error) error {
	var change sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var err error
		if change, err = core.BumpVersion(ctx, tx, userID); err != nil {
			return err
		}
		return edit(lockedTx{tx, userID})
	})
	switch {
	case db.IsNoRows(err):
		return core.UserNotFound()
	case db.Constraint(err) == "auth_tokens_alias_key":
		return apperr.New(apperr.Invalid, "DUPLICATE_ALIAS", "An auth token with this alias already exists")
	case err == nil:
		s.Changes.Notify(ctx, change)
	}
	return err
}

// requireActiveSession returns 401 INVALID_TOKEN when the session of the user has ended.
func (tx lockedTx) requireActiveSession(ctx context.Context, sessionID string, now time.Time) error {
	var live bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM sessions
			WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3)`,
		sessionID, tx.userID, now).Scan(&live)
	if err == nil && !live {
		err = apperr.InvalidToken()
	}
	return err
}

func (tx lockedTx) count(ctx context.Context) (n int, err error) {
	err = tx.QueryRow(ctx, `SELECT count(*) FROM auth_tokens WHERE user_id = $1`, tx.userID).Scan(&n)
	return n, err
}

func (tx lockedTx) aliases(ctx context.Context) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT alias FROM auth_tokens WHERE user_id = $1`, tx.userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (tx lockedTx) insert(ctx context.Context, token Token, hash []byte) error {
	permissions, err := api.Marshal(token.Permissions)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO auth_tokens (id, user_id, alias, hash, public_key, public_storage, ip_whitelist, realm_ids,
			allow_no_realm, permissions, expires_at, is_enabled, vault_access, event_access, created_by_token_id,
			delegation_depth, created_at, updated_at, scoped_vault_access, vault_read_only, vault_prefixes)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17, $18, $19, $20)`,
		token.ID, tx.userID, token.Alias, hash, token.PublicKey, []byte(token.PublicStorage),
		token.IPWhitelist.stored(), orEmpty(token.RealmIDs), token.AllowNoRealm, permissions,
		(*time.Time)(token.ExpiresAt), token.IsEnabled, token.VaultAccess && !token.vaultScoped(), token.EventAccess,
		token.CreatedByTokenID, token.DelegationDepth, time.Time(token.CreatedAt),
		token.VaultAccess && token.vaultScoped(), token.VaultReadOnly, orEmpty(token.VaultPrefixes))
	return err
}

func (tx lockedTx) update(ctx context.Context, token Token) error {
	permissions, err := api.Marshal(token.Permissions)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE auth_tokens
		SET alias = $3, public_key = $4, public_storage = $5, ip_whitelist = $6, realm_ids = $7,
			allow_no_realm = $8, permissions = $9, expires_at = $10, is_enabled = $11,
			vault_access = $12, event_access = $13, updated_at = $14, scoped_vault_access = $15,
			vault_read_only = $16, vault_prefixes = $17
		WHERE user_id = $1 AND id = $2`,
		tx.userID, token.ID, token.Alias, token.PublicKey, []byte(token.PublicStorage),
		token.IPWhitelist.stored(), orEmpty(token.RealmIDs), token.AllowNoRealm, permissions,
		(*time.Time)(token.ExpiresAt), token.IsEnabled, token.VaultAccess && !token.vaultScoped(), token.EventAccess,
		time.Time(token.UpdatedAt), token.VaultAccess && token.vaultScoped(), token.VaultReadOnly,
		orEmpty(token.VaultPrefixes))
	return err
}

// delete deletes a token of the user, or returns 404 TOKEN_NOT_FOUND.
func (tx lockedTx) delete(ctx context.Context, tokenID string) error {
	tag, err := tx.Exec(ctx, `DELETE FROM auth_tokens WHERE user_id = $1 AND id = $2`, tx.userID, tokenID)
	if err == nil && tag.RowsAffected() == 0 {
		err = errTokenNotFound()
	}
	return err
}

// orEmpty returns an empty list for nil, because nil would be stored as NULL.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
