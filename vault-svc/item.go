// Package vault provides the vault service: a key-value store for each user and realm, encrypted at
// rest, with a quota over all realms. It serves /api/v1/vault/keys, /api/v1/vault and
// /api/v1/vault/stats, and /internal/realms for the gateway.
//
// Start reading at service.go, then at Vault.Put in vault.go. item_http.go contains the handlers;
// item_store.go, item_read_store.go and item_write_store.go contain the SQL with the quota.
// internal/sealing encrypts, internal/batch groups small reads and writes into shared statements,
// and internal/memory limits the memory of large values.
//
// One database function remains: vault_put (migrations/00002_put.sql) checks the quota, stores an
// item and updates the accounts. Most writes need only two or three of its statements; one SQL
// statement for all cases takes twice as long. The benchmark row that depends on it is
// "vault PUT ÷ PocketBase, both flushing" (group vault of deploy/bench). BenchmarkPut compares a
// write with the bare UPDATE of its row.
package vault

import (
	"math"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// Info describes an item without its value.
type Info struct {
	sealing.Ref
	Metadata  jsontext.Value // compact JSON object, nil when there is none
	SizeBytes int64          // bytes of the UTF-8 value plus the compact metadata
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Write is a request to store an item. The value is opaque: it may be any UTF-8, including NUL.
type Write struct {
	sealing.Ref
	Value    []byte
	Metadata jsontext.Value // nil clears it
	// KeepMetadata leaves the stored metadata unchanged and ignores Metadata.
	KeepMetadata bool
}

// size returns the bytes of the value and of the new metadata.
func (w Write) size() int64 { return int64(len(w.Value) + len(w.Metadata)) }

// maxMetadata is the limit on compact metadata in bytes.
const maxMetadata = 256 << 10

// maxKey is the longest key name in characters.
const maxKey = 255

// checkKey returns an error unless key consists of 1 to 255 characters of [A-Za-z0-9._-].
func checkKey(key string) error {
	if len(key) == 0 || len(key) > maxKey || !auth.ValidKeyCharacters(key) {
		return apperr.InvalidField("/key", "must be 1 to 255 characters of A-Z, a-z, 0-9, dot, underscore and hyphen")
	}
	return nil
}

// Usage is the number and size of a user's stored items.
type Usage struct {
	RealmItems, RealmBytes int64 // of one realm
	TotalBytes             int64 // over all realms
}

// Stats is the answer of the statistics call. One MB is 1,048,576 bytes. MB are rounded to six
// decimals, the percentage to two. The figures of the account, which are all but the totals, are
// nil for a token that may read only some keys.
type Stats struct {
	TotalKeys      int64    `json:"total_keys"`
	TotalSizeBytes int64    `json:"total_size_bytes"`
	TotalSizeMB    float64  `json:"total_size_mb"`
	LimitMB        *float64 `json:"limit_mb"`
	UsedPercentage *float64 `json:"used_percentage"`
	RemainingMB    *float64 `json:"remaining_mb"`
}

// newStats compares u with a quota of limit bytes. When the quota was lowered below the stored
// size, no space remains and the percentage is above 100.
func newStats(u Usage, limit int64) Stats {
	used := 100.0 // a quota of zero is full
	if limit > 0 {
		used = round(float64(u.TotalBytes)*100/float64(limit), 100)
	}
	limitMB, remainingMB := inMB(limit), inMB(max(limit-u.TotalBytes, 0))
	stats := newTotals(u)
	stats.LimitMB, stats.UsedPercentage, stats.RemainingMB = &limitMB, &used, &remainingMB
	return stats
}

// newTotals returns statistics without the figures of the account.
func newTotals(u Usage) Stats {
	return Stats{TotalKeys: u.RealmItems, TotalSizeBytes: u.RealmBytes, TotalSizeMB: inMB(u.RealmBytes)}
}

func inMB(bytes int64) float64 { return round(float64(bytes)/megabyte, 1e6) }

func round(x, steps float64) float64 { return math.Round(x*steps) / steps }

// keyNotFound returns 404 VAULT_KEY_NOT_FOUND.
func keyNotFound() error {
	return apperr.New(apperr.NotFound, "VAULT_KEY_NOT_FOUND", "Vault key not found.")
}

// limitExceeded returns 413 VAULT_LIMIT_EXCEEDED.
func limitExceeded() error {
	return apperr.New(apperr.TooLarge, "VAULT_LIMIT_EXCEEDED", "Vault storage limit exceeded.")
}

// authorize returns the part of the vault that the caller may use in realm ("" is the global
// scope), or 403. The gateway checks most of this too; the check here protects the vault if the
// gateway is wrong.
func authorize(i auth.Identity, realm string) (auth.VaultScope, error) {
	switch {
	case i.Banned:
		return auth.VaultScope{}, apperr.AccountBanned()
	case i.Kind != auth.Token:
		return auth.VaultScope{}, nil
	}
	part, ok := i.Grant.Vault()
	if !ok {
		return part, apperr.InsufficientPermissions()
	}
	return part, i.Grant.InRealm(realm)
}
