package twofactor

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/signin"
)

// useCode verifies a code and uses it up: it works once, also for concurrent requests. After
// maxWrongCodes wrong codes in a row every code is refused for lockoutPeriod. A code that was used
// before is no guess and does not count, so that a client which submits twice does not lock its
// user out. The transaction commits the failure count of a refused code, so the refusal is not an
// error of the transaction.
func (s *Service) useCode(ctx context.Context, userID string, device request.Device,
	attempt codeAttempt) (secondFactor, error) {
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

// codeAttempt is a code that a user presents.
type codeAttempt struct {
	code        string
	setup       bool   // enables the factor, so it must not be a backup code
	pendingHash []byte // hash of the temporary token of a pending login, or nil
}

// precondition returns the error for an account whose second factor is not in the state that the
// attempt needs.
func (s codeAttempt) precondition(factor secondFactor, exists bool) error {
	enabled := exists && factor.enabledAt != nil
	switch {
	case s.setup && enabled:
		return errAlreadyEnabled()
	case s.setup && !exists:
		return errSetupRequired()
	case s.pendingHash != nil && !enabled:
		return apperr.InvalidToken() // the second factor was disabled after the password was verified
	case !s.setup && !enabled:
		return errNotEnabled()
	}
	return nil
}

// consumeCode uses the code up if it is correct.
func (s *Service) consumeCode(ctx context.Context, tx core.DBTX, userID string, factor secondFactor,
	attempt codeAttempt, device request.Device, now time.Time) (codeResult, error) {
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
	// If another request was faster, the error rolls back and the code stays valid.
	return codeCorrect, signin.UsePending(ctx, tx, attempt.pendingHash)
}

// consumeBackupCode uses a backup code up. Used codes are stored until new ones are generated, so
// that a code which is sent twice at once is not taken for a guess.
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

const (
	codeWrong codeResult = iota
	codeUsed             // correct, but it or a later code was used before
	codeCorrect
)

// codeResult is the result of comparing a code.
type codeResult uint8
