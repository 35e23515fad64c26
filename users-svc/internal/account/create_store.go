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

// Draft is what an account is made of.
type Draft struct {
	Email, PasswordHash, Alias string
	Username                   string // "": made from the address
	Method                     string
	Region, Client             *string
	Metadata                   jsontext.Value // nil: {}
	Admin, Verified            bool
	Invited, CodeFailed        bool
	At                         time.Time
}

// Insert creates an account; false when there is one with the address already,
// USERNAME_TAKEN when the name that was asked for is.
func Insert(ctx context.Context, q core.DBTX, n Draft) (string, bool, error) {
	key, err := StoredKey(ctx, q, n.Email)
	if err != nil {
		return "", false, err
	}
	for try := range usernameTries {
		userID, name := id.New(n.At), n.Username
		if name == "" {
			name = generateUsername(n.Email, try)
		}
		inserted, err := insertUser(ctx, q, userID, name, key, n)
		if err != nil || inserted == 1 {
			return userID, err == nil, err
		}
		var taken bool
		if err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users WHERE email_key = $1)`, key).Scan(&taken); err != nil ||
			taken {
			return "", false, err
		}
		if n.Username != "" {
			return "", false, errUsernameTaken()
		}
	}
	return "", false, fmt.Errorf("no free username in %d tries", usernameTries)
}

const (
	usernameTries = 16
	// After shortTries a long suffix is taken: an address as common as info@ can use up the 65,536
	// short ones.
	shortTries = 8
)

func generateUsername(email string, try int) string {
	local, _, _ := strings.Cut(email, "@")
	suffix := make([]byte, 2)
	if try >= shortTries {
		suffix = make([]byte, 6)
	}
	_, _ = rand.Read(suffix) // never fails
	return local + "-" + hex.EncodeToString(suffix)
}

func insertUser(ctx context.Context, q core.DBTX, userID, username, emailKey string, n Draft) (int64, error) {
	tag, err := q.Exec(ctx, `INSERT INTO users (id, username, email, email_key, alias, password_hash, is_admin, email_verified, signup_method,
			signup_region, signup_client, invited, signup_code_failed, created_at, updated_at, metadata)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, coalesce($15, '{}'::bytea)) ON CONFLICT DO NOTHING`,
		userID, username, n.Email, emailKey, n.Alias, n.PasswordHash, n.Admin, n.Verified, n.Method,
		n.Region, n.Client, n.Invited, n.CodeFailed, n.At, []byte(n.Metadata))
	return tag.RowsAffected(), err
}

// UnverifiedHash returns the password hash of the account with an address that is not verified; ""
// when there is none.
func UnverifiedHash(ctx context.Context, q core.DBTX, address string) (string, error) {
	key, err := StoredKey(ctx, q, address)
	if err != nil {
		return "", err
	}
	var hash string
	err = q.QueryRow(ctx, `SELECT coalesce((SELECT password_hash FROM users WHERE email_key = $1 AND NOT email_verified), '')`, key).Scan(&hash)
	return hash, err
}
