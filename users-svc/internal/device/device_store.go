package device

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// errUserCodeTaken reports that another device has the user code.
var errUserCodeTaken = errors.New("the user code is taken")

func (s *Service) insert(ctx context.Context, deviceCode, userCode string, in codeRequest, address string,
	now time.Time) error {
	_, err := s.Pool.Exec(ctx, `INSERT INTO device_codes
			(hash, user_code_hash, client_name, client, challenge, ip_address, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		secrets.HashToken(deviceCode), hashUserCode(userCode), in.ClientName, in.Client, in.Challenge, address, now,
		now.Add(s.cfg.CodeTTL))
	if db.Constraint(err) == "device_codes_user_code_key" {
		return errUserCodeTaken
	}
	return err
}

func hashUserCode(typed string) []byte { return secrets.HashToken(normalizeUserCode(typed)) }

// polledCode is a device code at the time of a poll.
type polledCode struct {
	challenge  string
	client     *string // what the sessions of the device are called
	denied     bool
	approverID string // "": not approved
	expiresAt  time.Time
	tooFast    bool // the poll before was less than the interval ago
}

// poll records a poll of a device and returns its code. An unknown code, also one that was used, is
// 400 INVALID_GRANT.
func (s *Service) poll(ctx context.Context, hash []byte) (polledCode, error) {
	var code polledCode
	err := s.Pool.QueryRow(ctx, `
		WITH before AS (SELECT hash, polled_at FROM device_codes WHERE hash = $1 FOR UPDATE)
		UPDATE device_codes d SET polled_at = clock_timestamp() FROM before WHERE d.hash = before.hash
		RETURNING coalesce(d.challenge, ''), coalesce(d.client, d.client_name), d.denied, coalesce(d.approver_id, ''),
			d.expires_at, coalesce(clock_timestamp() - before.polled_at < $2::interval, false)`,
		hash, interval-pollTolerance).
		Scan(&code.challenge, &code.client, &code.denied, &code.approverID, &code.expiresAt, &code.tooFast)
	if db.IsNoRows(err) {
		return code, errInvalidGrant()
	}
	return code, err
}

// redeem deletes an approved code, in the transaction that opens its session, which has locked the
// approver. It returns 400 INVALID_GRANT when another poll redeemed the code, and EXPIRED_TOKEN
// when the session that approved it has ended.
func redeem(ctx context.Context, tx core.DBTX, hash []byte, now time.Time) error {
	var alive bool
	err := tx.QueryRow(ctx, `DELETE FROM device_codes d WHERE hash = $1 RETURNING EXISTS (SELECT FROM sessions s
			WHERE s.id = d.approver_session AND s.user_id = d.approver_id AND s.ended_at IS NULL AND s.expires_at > $2)`,
		hash, now).Scan(&alive)
	switch {
	case db.IsNoRows(err):
		return errInvalidGrant()
	case err == nil && !alive:
		return errExpiredToken()
	}
	return err
}

// waiting returns the device that waits for a decision about a user code, or 404
// DEVICE_CODE_NOT_FOUND.
func (s *Service) waiting(ctx context.Context, userCode string) (waitingDevice, error) {
	var device waitingDevice
	err := s.Pool.QueryRow(ctx, `SELECT coalesce(client_name, client), ip_address, created_at FROM device_codes
		WHERE user_code_hash = $1 AND `+undecided, hashUserCode(userCode), s.Now()).
		Scan(&device.ClientName, &device.IPAddress, (*time.Time)(&device.CreatedAt))
	if db.IsNoRows(err) {
		return device, errCodeNotFound()
	}
	return device, err
}

// undecided selects the codes that wait for a decision at the time $2.
const undecided = `expires_at > $2 AND NOT denied AND approver_id IS NULL`

// approve allows the device to sign in as the user, as long as the session lives.
func (s *Service) approve(ctx context.Context, userCode, userID, sessionID string, device request.Device) error {
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE device_codes SET approver_id = $3, approver_session = $4
			WHERE user_code_hash = $1 AND `+undecided, hashUserCode(userCode), s.Now(), userID, sessionID)
		switch {
		case db.Constraint(err) == "device_codes_approver_id_fkey":
			return core.UserNotFound()
		case err != nil:
			return err
		case tag.RowsAffected() == 0:
			return errCodeNotFound()
		}
		return history.Record(ctx, tx, s.Now(), history.Event{UserID: userID, Kind: history.DeviceApproved, Device: device})
	})
}

// deny refuses the device for good.
func (s *Service) deny(ctx context.Context, userCode string) error {
	tag, err := s.Pool.Exec(ctx, `UPDATE device_codes SET denied = true WHERE user_code_hash = $1 AND `+undecided,
		hashUserCode(userCode), s.Now())
	if err == nil && tag.RowsAffected() == 0 {
		return errCodeNotFound()
	}
	return err
}
