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
	"github.com/realmgate/realmgate/users-svc/internal/signin"
)

const selectFactor = `SELECT secret, enabled_at, last_step, require_for_tokens, failures, failed_at FROM two_factor WHERE user_id = $1`

// read returns the account's second factor without its secret; false when it has none.
func (s *Service) read(ctx context.Context, q core.DBTX, userID string) (secondFactor, bool, error) {
	return s.scan(q.QueryRow(ctx, selectFactor, userID))
}

func (s *Service) scan(row pgx.Row) (secondFactor, bool, error) {
	var factor secondFactor
	err := row.Scan(&factor.sealed, &factor.enabledAt, &factor.lastStep, &factor.requireForTokens, &factor.failures,
		&factor.failedAt)
	if db.NoRows(err) {
		return factor, false, nil
	}
	return factor, err == nil, err
}

// lock returns the account's second factor with its secret, and locks it: so codes are tried one
// after the other. The user's row comes first, as everywhere: two transactions that take the same
// locks in two orders would end each other.
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

// codeAttempt is a code to be used up.
type codeAttempt struct {
	code        string
	setup       bool   // the factor is to be enabled by it: not a backup code
	pendingHash []byte // hash of the temporary token that is used up with it; nil for none
}

// codeResult is what a code is.
type codeResult uint8

const (
	codeWrong codeResult = iota
	codeUsed             // it was right, and it or a later one was used before
	codeCorrect
)

// useCode uses up a code: it never works again, whoever races. A wrong one counts, and after
// maxWrongCodes of them in a row none works for lockout; one that was used is no guess, so that a
// client that submits twice locks nobody out. The count is kept when the code is refused, so the
// refusal is not an error of the transaction.
func (s *Service) useCode(ctx context.Context, userID string, device request.Device, attempt codeAttempt) (secondFactor,
	error) {
	var factor secondFactor
	var rejection error
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var exists bool
		var err error
		rejection = nil
		if factor, exists, err = s.lock(ctx, tx, userID); err != nil {
			return err
		}
		now := s.Now()
		if rejection = attempt.precondition(factor, exists); rejection != nil {
			return nil
		}
		if left := factor.lockedFor(now); left > 0 {
			rejection = errCodeLocked(left)
			return nil
		}
		factor.resetOldFailures(now)
		outcome, err := s.consumeCode(ctx, tx, userID, factor, attempt, device, now)
		if err != nil || outcome == codeCorrect {
			return err
		}
		if outcome == codeWrong {
			factor.failures, factor.failedAt = factor.failures+1, now
		}
		rejection = errWrongCode(maxWrongCodes - factor.failures)
		if err := history.Record(ctx, tx, now,
			history.Event{UserID: userID, Kind: history.TwoFactorCode, Failed: true, Device: device}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE two_factor SET failures = $2, failed_at = $3 WHERE user_id = $1`, userID,
			factor.failures,
			factor.failedAt)
		if err != nil || outcome != codeWrong || attempt.pendingHash == nil {
			return err
		}
		return history.CountFailedLogin(ctx, tx, userID, device, now)
	})
	if err == nil {
		err = rejection
	}
	return factor, err
}

// precondition refuses a code for which there is nothing to do.
func (s codeAttempt) precondition(factor secondFactor, exists bool) error {
	enabled := exists && factor.enabledAt != nil
	switch {
	case s.setup && enabled:
		return errAlreadyEnabled()
	case s.setup && !exists:
		return errSetupRequired()
	case s.pendingHash != nil && !enabled:
		return apperr.InvalidToken() // it was disabled since the password was given
	case !s.setup && !enabled:
		return errNotEnabled()
	}
	return nil
}

// consumeCode uses the code up if it is right.
func (s *Service) consumeCode(ctx context.Context, tx core.DBTX, userID string, factor secondFactor,
	attempt codeAttempt,
	device request.Device,
	now time.Time) (codeResult, error) {
	code := normalizeCode(attempt.code)
	if totpPattern.MatchString(code) {
		step, correct := factor.matchingStep(code, now)
		switch {
		case !correct:
			return codeWrong, nil
		case step <= factor.lastStep:
			return codeUsed, nil
		}
		factor.lastStep = step
	} else if outcome, err := s.consumeBackupCode(ctx, tx, userID, factor.hashBackup(code), attempt.setup); err != nil ||
		outcome != codeCorrect {
		return outcome, err
	} else {
		event := history.Event{UserID: userID, Kind: history.BackupCodeUsed, Device: device}
		if err := history.Record(ctx, tx, now, event); err != nil {
			return codeWrong, err
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE two_factor SET failures = 0, last_step = $2 WHERE user_id = $1`, userID,
		factor.lastStep); err != nil {
		return codeWrong, err
	}
	if attempt.pendingHash == nil {
		return codeCorrect, session.MarkConfirmed(ctx, tx, device.SessionID, now)
	}
	// when another request was faster, the code is not used up
	return codeCorrect, signin.UsePending(ctx, tx, attempt.pendingHash)
}

// consumeBackupCode uses a backup code up. Those that were used are remembered until there are new
// ones, so that one which is sent twice at once is told from a guess.
func (s *Service) consumeBackupCode(ctx context.Context, tx core.DBTX, userID string, hash []byte,
	setup bool) (codeResult, error) {
	if setup {
		return codeWrong, nil
	}
	var used, correct bool
	err := tx.QueryRow(ctx, `WITH used AS (
				DELETE FROM two_factor_backup_codes WHERE user_id = $1 AND hash = $2 RETURNING hash),
			noted AS (INSERT INTO two_factor_used_codes (user_id, hash) SELECT $1, hash FROM used)
		SELECT EXISTS (SELECT FROM used), EXISTS (SELECT FROM two_factor_used_codes WHERE user_id = $1 AND hash = $2)`,
		userID, hash).Scan(&correct, &used)
	switch {
	case err != nil:
		return codeWrong, err
	case used:
		return codeUsed, nil
	case !correct:
		return codeWrong, nil
	}
	return codeCorrect, nil
}

// storeSetup stores a setup, unless the second factor has been enabled meanwhile.
func (s *Service) storeSetup(ctx context.Context, userID string, factor secondFactor, hashes [][]byte) error {
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO two_factor AS old (user_id, secret, failed_at, created_at) VALUES ($1, $2, 'epoch', $3)
			ON CONFLICT (user_id) DO UPDATE SET secret = EXCLUDED.secret, last_step = 0, created_at = EXCLUDED.created_at
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

// replaceBackupCodes makes new backup codes in place of all that are left.
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

// enableFactor enables the setup whose code was checked, and no other.
func enableFactor(ctx context.Context, tx core.DBTX, userID string, sealed []byte, now time.Time) error {
	tag, err := tx.Exec(ctx, `UPDATE two_factor SET enabled_at = $3 WHERE user_id = $1 AND secret = $2 AND enabled_at IS NULL`, userID, sealed, now)
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
		return history.Record(ctx, tx, s.Now(), history.Event{UserID: userID, Kind: history.TokenGateChanged, Device: device})
	})
}

// status reads the second factor and its backup codes at one moment.
func (s *Service) status(ctx context.Context, userID string) (statusAnswer, error) {
	var status statusAnswer
	var enabledAt *time.Time
	err := s.Pool.QueryRow(ctx, `
		SELECT enabled_at, require_for_tokens, (SELECT count(*) FROM two_factor_backup_codes c WHERE c.user_id = f.user_id)
		FROM two_factor f WHERE user_id = $1 AND enabled_at IS NOT NULL`, userID).Scan(&enabledAt, &status.RequireForTokens, &status.BackupCodesRemaining)
	if db.NoRows(err) {
		return statusAnswer{}, nil
	}
	status.Enabled, status.Verified, status.EnabledAt = true, true, api.TimePtr(enabledAt)
	return status, err
}

// reset takes a user's second factor away for an admin and ends the user's sessions; without a
// second factor nothing happens.
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
