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
func (t *Service) read(ctx context.Context, q core.DBTX, userID string) (factor, bool, error) {
	return t.scan(q.QueryRow(ctx, selectFactor, userID))
}

func (t *Service) scan(row pgx.Row) (factor, bool, error) {
	var f factor
	err := row.Scan(&f.sealed, &f.enabledAt, &f.lastStep, &f.requireForTokens, &f.failures, &f.failedAt)
	if db.NoRows(err) {
		return f, false, nil
	}
	return f, err == nil, err
}

// lock returns the account's second factor with its secret, and locks it: so codes are tried one
// after the other. The user's row comes first, as everywhere: two transactions that take the same
// locks in two orders would end each other.
func (t *Service) lock(ctx context.Context, tx core.DBTX, userID string) (factor, bool, error) {
	if _, err := tx.Exec(ctx, `SELECT FROM users WHERE id = $1 FOR KEY SHARE`, userID); err != nil {
		return factor{}, false, err
	}
	f, found, err := t.scan(tx.QueryRow(ctx, selectFactor+` FOR UPDATE`, userID))
	if err != nil || !found {
		return f, found, err
	}
	secret, err := t.sealer.Open(f.sealed, AssociatedData(userID))
	f.secret = string(secret)
	return f, true, err
}

// codeAttempt is a code to be used up.
type codeAttempt struct {
	code  string
	setup bool   // the factor is to be enabled by it: not a backup code
	login []byte // hash of the temporary token that is used up with it; nil for none
}

// codeResult is what a code is.
type codeResult uint8

const (
	codeWrong codeResult = iota
	codeUsed             // it was right, and it or a later one was used before
	codeRight
)

// useCode uses up a code: it never works again, whoever races. A wrong one counts, and after
// maxWrongCodes of them in a row none works for lockout; one that was used is no guess, so that a
// client that submits twice locks nobody out. The count is kept when the code is refused, so the
// refusal is not an error of the transaction.
func (t *Service) useCode(ctx context.Context, userID string, d request.Device, s codeAttempt) (factor, error) {
	var f factor
	var refused error
	err := db.InTx(ctx, t.Pool, func(tx pgx.Tx) error {
		var found bool
		var err error
		refused = nil
		if f, found, err = t.lock(ctx, tx, userID); err != nil {
			return err
		}
		now := t.Now()
		if refused = s.precondition(f, found); refused != nil {
			return nil
		}
		if left := f.lockedFor(now); left > 0 {
			refused = errCodeLocked(left)
			return nil
		}
		f.resetOldFailures(now)
		is, err := t.consumeCode(ctx, tx, userID, f, s, d, now)
		if err != nil || is == codeRight {
			return err
		}
		if is == codeWrong {
			f.failures, f.failedAt = f.failures+1, now
		}
		refused = errWrongCode(maxWrongCodes - f.failures)
		if err := history.Record(ctx, tx, now,
			history.Event{UserID: userID, Kind: history.TwoFactorCode, Failed: true, Device: d}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE two_factor SET failures = $2, failed_at = $3 WHERE user_id = $1`, userID, f.failures,
			f.failedAt)
		if err != nil || is != codeWrong || s.login == nil {
			return err
		}
		return history.CountFailedLogin(ctx, tx, userID, d, now)
	})
	if err == nil {
		err = refused
	}
	return f, err
}

// precondition refuses a code for which there is nothing to do.
func (s codeAttempt) precondition(f factor, found bool) error {
	enabled := found && f.enabledAt != nil
	switch {
	case s.setup && enabled:
		return errTwoFactorEnabled()
	case s.setup && !found:
		return errSetupRequired()
	case s.login != nil && !enabled:
		return apperr.InvalidToken() // it was disabled since the password was given
	case !s.setup && !enabled:
		return errTwoFactorNotEnabled()
	}
	return nil
}

// consumeCode uses the code up if it is right.
func (t *Service) consumeCode(ctx context.Context, tx core.DBTX, userID string, f factor, s codeAttempt,
	d request.Device,
	now time.Time) (codeResult, error) {
	code := normalizeCode(s.code)
	if totpPattern.MatchString(code) {
		step, right := f.matchingStep(code, now)
		switch {
		case !right:
			return codeWrong, nil
		case step <= f.lastStep:
			return codeUsed, nil
		}
		f.lastStep = step
	} else if is, err := t.consumeBackupCode(ctx, tx, userID, f.hashBackup(code), s.setup); err != nil || is != codeRight {
		return is, err
	} else {
		event := history.Event{UserID: userID, Kind: history.BackupCodeUsed, Device: d}
		if err := history.Record(ctx, tx, now, event); err != nil {
			return codeWrong, err
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE two_factor SET failures = 0, last_step = $2 WHERE user_id = $1`, userID,
		f.lastStep); err != nil {
		return codeWrong, err
	}
	if s.login == nil {
		return codeRight, session.MarkConfirmed(ctx, tx, d.SessionID, now)
	}
	return codeRight, signin.UsePending(ctx, tx, s.login) // when another request was faster, the code is not used up
}

// consumeBackupCode uses a backup code up. Those that were used are remembered until there are new
// ones, so that one which is sent twice at once is told from a guess.
func (t *Service) consumeBackupCode(ctx context.Context, tx core.DBTX, userID string, hash []byte,
	setup bool) (codeResult, error) {
	if setup {
		return codeWrong, nil
	}
	var used, right bool
	err := tx.QueryRow(ctx, `WITH used AS (
				DELETE FROM two_factor_backup_codes WHERE user_id = $1 AND hash = $2 RETURNING hash),
			noted AS (INSERT INTO two_factor_used_codes (user_id, hash) SELECT $1, hash FROM used)
		SELECT EXISTS (SELECT FROM used), EXISTS (SELECT FROM two_factor_used_codes WHERE user_id = $1 AND hash = $2)`,
		userID, hash).Scan(&right, &used)
	switch {
	case err != nil:
		return codeWrong, err
	case used:
		return codeUsed, nil
	case !right:
		return codeWrong, nil
	}
	return codeRight, nil
}

// storeSetup stores a setup, unless the second factor has been enabled meanwhile.
func (t *Service) storeSetup(ctx context.Context, userID string, f factor, hashes [][]byte) error {
	return db.InTx(ctx, t.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO two_factor AS old (user_id, secret, failed_at, created_at) VALUES ($1, $2, 'epoch', $3)
			ON CONFLICT (user_id) DO UPDATE SET secret = EXCLUDED.secret, last_step = 0, created_at = EXCLUDED.created_at
			WHERE old.enabled_at IS NULL`, userID, f.sealed, t.Now())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errTwoFactorEnabled()
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
func (t *Service) replaceBackupCodes(ctx context.Context, userID string, d request.Device) ([]string, error) {
	var codes []string
	err := db.InTx(ctx, t.Pool, func(tx pgx.Tx) error {
		f, found, err := t.lock(ctx, tx, userID)
		if err != nil || !found || f.enabledAt == nil {
			return orNotEnabled(err)
		}
		var hashes [][]byte
		codes, hashes = f.newBackupCodes()
		if err := history.Record(ctx, tx, t.Now(),
			history.Event{UserID: userID, Kind: history.BackupCodesRegenerated, Device: d}); err != nil {
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
		err = errTwoFactorNotEnabled()
	}
	return err
}

func (t *Service) writeGate(ctx context.Context, userID string, on bool, d request.Device) error {
	return db.InTx(ctx, t.Pool, func(tx pgx.Tx) error {
		if f, found, err := t.lock(ctx, tx, userID); err != nil || !found || f.enabledAt == nil {
			return orNotEnabled(err)
		}
		if _, err := tx.Exec(ctx, `UPDATE two_factor SET require_for_tokens = $2 WHERE user_id = $1`, userID,
			on); err != nil {
			return err
		}
		return history.Record(ctx, tx, t.Now(), history.Event{UserID: userID, Kind: history.TokenGateChanged, Device: d})
	})
}

// status reads the second factor and its backup codes at one moment.
func (t *Service) status(ctx context.Context, userID string) (TwoFactorStatus, error) {
	var s TwoFactorStatus
	var enabledAt *time.Time
	err := t.Pool.QueryRow(ctx, `
		SELECT enabled_at, require_for_tokens, (SELECT count(*) FROM two_factor_backup_codes c WHERE c.user_id = f.user_id)
		FROM two_factor f WHERE user_id = $1 AND enabled_at IS NOT NULL`, userID).Scan(&enabledAt, &s.RequireForTokens, &s.BackupCodesRemaining)
	if db.NoRows(err) {
		return TwoFactorStatus{}, nil
	}
	s.Enabled, s.Verified, s.EnabledAt = true, true, api.TimePtr(enabledAt)
	return s, err
}

// reset takes a user's second factor away for an admin and ends the user's sessions; without a
// second factor nothing happens.
func (t *Service) reset(ctx context.Context, userID string, by request.Device) error {
	var ch *sessionstate.Change
	err := db.InTx(ctx, t.Pool, func(tx pgx.Tx) error {
		ch = nil
		if _, err := account.LockByID(ctx, tx, userID); err != nil {
			return err
		}
		if err := deleteFactor(ctx, tx, userID); err != nil {
			if apperr.Is(err, "TWOFACTOR_NOT_ENABLED") {
				return nil
			}
			return err
		}
		now := t.Now()
		if _, err := session.EndAllTx(ctx, tx, userID, "", history.TwoFactorReset, now); err != nil {
			return err
		}
		if err := history.Record(ctx, tx, now,
			history.Event{UserID: userID, Kind: history.TwoFactorReset, Device: by}); err != nil {
			return err
		}
		raised, err := core.BumpVersion(ctx, tx, userID)
		ch = &raised
		return err
	})
	if err == nil && ch != nil {
		t.Changes.Notify(ctx, *ch)
	}
	return err
}
