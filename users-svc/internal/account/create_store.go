package account

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// Draft holds the values of a new account.
type Draft struct {
	Email, PasswordHash, Alias string
	Username                   string // "": generated from the address
	Method                     string
	Region, Client             *string
	Metadata                   jsontext.Value // nil: an empty object
	Admin, Verified            bool
	Invited, CodeFailed        bool
	CreatedAt                  time.Time
}

// Insert creates an account and returns its id. It returns false when another account has the
// address, and 409 USERNAME_TAKEN when another account has the requested name.
func Insert(ctx context.Context, q core.DBTX, draft Draft) (string, bool, error) {
	key, err := StoredKey(ctx, q, draft.Email)
	if err != nil {
		return "", false, err
	}
	for attempt := range usernameTries {
		userID, name := id.New(draft.CreatedAt), draft.Username
		if name == "" {
			name = generateUsername(draft.Email, attempt)
		}
		inserted, err := insertUser(ctx, q, userID, name, key, draft)
		if err != nil || inserted == 1 {
			return userID, err == nil, err
		}
		var taken bool
		err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users WHERE email_key = $1)`, key).Scan(&taken)
		if err != nil || taken {
			return "", false, err
		}
		if draft.Username != "" {
			return "", false, errUsernameTaken()
		}
	}
	return "", false, fmt.Errorf("no free username in %d tries", usernameTries)
}

const (
	usernameTries = 16
	// shortSuffixTries is the number of attempts with a short suffix. The following ones use a
	// long suffix, because a local part as common as info can use up the 65,536 short ones.
	shortSuffixTries = 8
)

// generateUsername returns the local part of the address with a random suffix.
func generateUsername(email string, attempt int) string {
	local, _, _ := strings.Cut(email, "@")
	suffix := make([]byte, 2)
	if attempt >= shortSuffixTries {
		suffix = make([]byte, 6)
	}
	_, _ = rand.Read(suffix) // never fails
	return local + "-" + hex.EncodeToString(suffix)
}

func insertUser(ctx context.Context, q core.DBTX, userID, username, emailKey string, draft Draft) (int64, error) {
	tag, err := q.Exec(ctx, `
		INSERT INTO users (id, username, email, email_key, alias, password_hash, is_admin, email_verified,
			signup_method, signup_region, signup_client, invited, signup_code_failed, created_at, updated_at, metadata)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14,
			coalesce($15, '{}'::bytea)) ON CONFLICT DO NOTHING`,
		userID, username, draft.Email, emailKey, draft.Alias, draft.PasswordHash, draft.Admin, draft.Verified,
		draft.Method,
		draft.Region, draft.Client, draft.Invited, draft.CodeFailed, draft.CreatedAt, []byte(draft.Metadata))
	return tag.RowsAffected(), err
}

// UnverifiedHash returns the password hash of the account with the address if that address is not
// verified, otherwise "".
func UnverifiedHash(ctx context.Context, q core.DBTX, address string) (string, error) {
	key, err := StoredKey(ctx, q, address)
	if err != nil {
		return "", err
	}
	var hash string
	err = q.QueryRow(ctx, `
		SELECT coalesce((SELECT password_hash FROM users WHERE email_key = $1 AND NOT email_verified), '')`, key).
		Scan(&hash)
	return hash, err
}
