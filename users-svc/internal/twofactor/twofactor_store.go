package twofactor

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// read returns the account's second factor without its secret, or false.
func (s *Service) read(ctx context.Context, q core.DBTX, userID string) (secondFactor, bool, error) {
	return s.scan(q.QueryRow(ctx, selectFactor, userID))
}

// lock returns the account's second factor with its secret, or false, and locks its row, so that
// codes are tried one after the other. Like every transaction it locks the user's row first: two
// transactions that take the same locks in different orders deadlock.
func (s *Service) lock(ctx context.Context, tx core.DBTX, userID string) (secondFactor, bool, error) {
	if _, err := tx.Exec(ctx, `SELECT FROM users WHERE id = $1 FOR KEY SHARE`, userID); err != nil {
		return secondFactor{}, false, err
	}
	factor, exists, err := s.scan(tx.QueryRow(ctx, selectFactor+` FOR UPDATE`, userID))
	if err != nil || !exists {
		return factor, exists, err
	}
	secret, err := s.sealer.Open(factor.sealed, AssociatedData(userID))
	factor.secret = string(secret)
	return factor, true, err
}

func (s *Service) scan(row pgx.Row) (secondFactor, bool, error) {
	var factor secondFactor
	err := row.Scan(&factor.sealed, &factor.enabledAt, &factor.lastStep, &factor.requireForTokens, &factor.failures,
		&factor.failedAt)
	if db.IsNoRows(err) {
		return factor, false, nil
	}
	return factor, err == nil, err
}

const selectFactor = `
	SELECT secret, enabled_at, last_step, require_for_tokens, failures, failed_at FROM two_factor WHERE user_id = $1`

// storeSetup stores a setup. It returns 409 TWOFACTOR_ALREADY_ENABLED when the second factor was
// enabled meanwhile.
func (s *Service) storeSetup(ctx context.Context, userID string, factor secondFactor, hashes [][]byte) error {
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO two_factor AS old (user_id, secret, failed_at, created_at) VALUES ($1, $2, 'epoch', $3)
			ON CONFLICT (user_id) DO UPDATE
				SET secret = EXCLUDED.secret, last_step = 0, created_at = EXCLUDED.created_at
			WHERE old.enabled_at IS NULL`, userID, factor.sealed, s.Now())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errAlreadyEnabled()
		}
		return writeBackupCodes(ctx, tx, userID, hashes)
	})
}

func writeBackupCodes(ctx context.Context, tx core.DBTX, userID string, hashes [][]byte) error {
	for _, table := range []string{"two_factor_backup_codes", "two_factor_used_codes"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE user_id = $1`, userID); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO two_factor_backup_codes (user_id, hash) SELECT $1, unnest($2::bytea[])`, userID,
		hashes)
	return err
}

// replaceBackupCodes stores new backup codes in place of all old ones, and returns them.
func (s *Service) replaceBackupCodes(ctx context.Context, userID string, device request.Device) ([]string, error) {
	var codes []string
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		factor, exists, err := s.lock(ctx, tx, userID)
		if err != nil || !exists || factor.enabledAt == nil {
			return orNotEnabled(err)
		}
		var hashes [][]byte
		codes, hashes = factor.newBackupCodes()
		if err := history.Record(ctx, tx, s.Now(),
			history.Event{UserID: userID, Kind: history.BackupCodesRegenerated, Device: device}); err != nil {
			return err
		}
		return writeBackupCodes(ctx, tx, userID, hashes)
	})
	return codes, err
}

// enableFactor enables the setup with the sealed secret that the code was verified against. It
// returns 409 TWOFACTOR_SETUP_REQUIRED when another setup has replaced it.
func enableFactor(ctx context.Context, tx core.DBTX, userID string, sealed []byte, now time.Time) error {
	tag, err := tx.Exec(ctx, `
		UPDATE two_factor SET enabled_at = $3 WHERE user_id = $1 AND secret = $2 AND enabled_at IS NULL`,
		userID, sealed, now)
	if err == nil && tag.RowsAffected() == 0 {
		err = errSetupRequired()
	}
	return err
}

func deleteFactor(ctx context.Context, tx core.DBTX, userID string) error {
	tag, err := tx.Exec(ctx, `DELETE FROM two_factor WHERE user_id = $1`, userID)
	if err == nil && tag.RowsAffected() == 0 {
		err = errNotEnabled()
	}
	return err
}

func (s *Service) writeTokenGate(ctx context.Context, userID string, on bool, device request.Device) error {
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if factor, exists, err := s.lock(ctx, tx, userID); err != nil || !exists || factor.enabledAt == nil {
			return orNotEnabled(err)
		}
		if _, err := tx.Exec(ctx, `UPDATE two_factor SET require_for_tokens = $2 WHERE user_id = $1`, userID,
			on); err != nil {
			return err
		}
		event := history.Event{UserID: userID, Kind: history.TokenGateChanged, Device: device}
		return history.Record(ctx, tx, s.Now(), event)
	})
}

// status reads the second factor and the number of its backup codes in one statement.
func (s *Service) status(ctx context.Context, userID string) (statusAnswer, error) {
	var status statusAnswer
	var enabledAt *time.Time
	err := s.Pool.QueryRow(ctx, `
		SELECT enabled_at, require_for_tokens,
			(SELECT count(*) FROM two_factor_backup_codes c WHERE c.user_id = f.user_id)
		FROM two_factor f WHERE user_id = $1 AND enabled_at IS NOT NULL`, userID).
		Scan(&enabledAt, &status.RequireForTokens, &status.BackupCodesRemaining)
	if db.IsNoRows(err) {
		return statusAnswer{}, nil
	}
	status.Enabled, status.Verified, status.EnabledAt = true, true, api.TimePtr(enabledAt)
	return status, err
}

// reset deletes a user's second factor on behalf of an admin and ends the user's sessions. Without
// a second factor it changes nothing.
func (s *Service) reset(ctx context.Context, userID string, device request.Device) error {
	var change *sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		change = nil
		if _, err := account.LockByID(ctx, tx, userID); err != nil {
			return err
		}
		if err := deleteFactor(ctx, tx, userID); err != nil {
			if apperr.Is(err, "TWOFACTOR_NOT_ENABLED") {
				return nil
			}
			return err
		}
		now := s.Now()
		if _, err := session.EndAllTx(ctx, tx, userID, "", history.TwoFactorReset, now); err != nil {
			return err
		}
		if err := history.Record(ctx, tx, now,
			history.Event{UserID: userID, Kind: history.TwoFactorReset, Device: device}); err != nil {
			return err
		}
		bumped, err := core.BumpVersion(ctx, tx, userID)
		change = &bumped
		return err
	})
	if err == nil && change != nil {
		s.Changes.Notify(ctx, *change)
	}
	return err
}
