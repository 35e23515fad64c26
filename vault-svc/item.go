// Package vault provides the vault service: a key-value store for each user and realm, encrypted at
// rest, with a quota over all realms. It serves /api/v1/vault/keys, /api/v1/vault and
// /api/v1/vault/stats, and /internal/realms for the gateway.
//
// Start reading at service.go, then at Vault.Put in write.go. item_http.go and version_http.go
// contain the handlers. internal/store contains the SQL with the quota, internal/precondition the
// conditional headers. internal/sealing encrypts, internal/batch groups small reads and writes into
// shared statements, and internal/memory limits the memory of large values.
//
// Writes are database functions: vault_write (migrations/00074_write_functions.sql) checks the
// quota, keeps the version before, stores an item and updates the accounts. A write needs a few of
// its statements; one SQL statement for all cases takes twice as long. The benchmark row that
// depends on it is "vault PUT ÷ PocketBase, both flushing" (group vault of deploy/bench).
// BenchmarkPut compares a write with the bare UPDATE of its row.
package vault

import (
	"encoding/hex"
	"errors"
	"math"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/vault-svc/internal/precondition"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// Info describes an item, or a version of one, without its value.
type Info struct {
	sealing.Ref
	Metadata  jsontext.Value // compact JSON object, nil when there is none
	SizeBytes int64          // bytes of the UTF-8 value plus the compact metadata
	CreatedAt time.Time
	UpdatedAt time.Time
	Number    int64      // "version" in the API
	ExpiresAt *time.Time // nil: never
	ETag      string     // strong entity tag, quotes included (RFC 9110, section 8.8.3)
}

// newInfo returns the description of a row, without metadata, which is sealed there.
func newInfo(ref sealing.Ref, row store.Info) Info {
	return Info{Ref: ref, SizeBytes: row.Size, CreatedAt: row.Created, UpdatedAt: row.Updated, Number: row.Number,
		ExpiresAt: row.Expires, ETag: entityTag(row.Version)}
}

// entityTag returns the tag of a version: every write seals its value under a new one.
func entityTag(v sealing.Version) string { return `"` + hex.EncodeToString(v[:]) + `"` }

// Write is a request to store an item. The value is opaque: it may be any UTF-8, including NUL.
type Write struct {
	sealing.Ref
	Value    []byte
	Metadata jsontext.Value // nil clears it
	// KeepMetadata leaves the stored metadata unchanged and ignores Metadata.
	KeepMetadata bool
	Expiry       store.Expiry
	If           precondition.Conditions
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
	HistoryBytes   *int64   `json:"history_size_bytes"`
	TrashBytes     *int64   `json:"trash_size_bytes"`
	HistoryLimitMB *float64 `json:"history_limit_mb"` // of both together
}

// newStats compares u with a quota of limit bytes. When the quota was lowered below the stored
// size, no space remains and the percentage is above 100.
func newStats(u store.Usage, limit int64) Stats {
	used := 100.0 // a quota of zero is full
	if limit > 0 {
		used = round(float64(u.TotalBytes)*100/float64(limit), 100)
	}
	limitMB, remainingMB := inMB(limit), inMB(max(limit-u.TotalBytes, 0))
	stats := newTotals(u)
	stats.LimitMB, stats.UsedPercentage, stats.RemainingMB = &limitMB, &used, &remainingMB
	stats.HistoryBytes, stats.TrashBytes, stats.HistoryLimitMB = &u.HistoryBytes, &u.TrashBytes, &limitMB
	return stats
}

// newTotals returns statistics without the figures of the account.
func newTotals(u store.Usage) Stats {
	return Stats{TotalKeys: u.RealmItems, TotalSizeBytes: u.RealmBytes, TotalSizeMB: inMB(u.RealmBytes)}
}

func inMB(bytes int64) float64 { return round(float64(bytes)/megabyte, 1e6) }

func round(x, steps float64) float64 { return math.Round(x*steps) / steps }

// keyNotFound returns 404 VAULT_KEY_NOT_FOUND.
func keyNotFound() error {
	return apperr.New(apperr.NotFound, "VAULT_KEY_NOT_FOUND", "Vault key not found.")
}

// preconditionFailed returns 412 PRECONDITION_FAILED. current is the item, nil when it is absent.
func preconditionFailed(current *Info) error {
	return apperr.Wrap(&failedCondition{current}, apperr.PreconditionFailed, "PRECONDITION_FAILED",
		"The item is not in the state that the request requires")
}

// failedCondition carries the current item to the answer of a failed condition.
type failedCondition struct{ current *Info }

func (f *failedCondition) Error() string { return "a condition of the request failed" }

// errNotModified says that a read is answered with 304.
var errNotModified = errors.New("not modified")

// evaluate evaluates the conditions of a request. current is the item, nil when it is absent; safe
// says that the request only reads. The error is errNotModified or 412.
func evaluate(c precondition.Conditions, current *Info, safe bool) error {
	var s precondition.State
	if current != nil {
		s = precondition.State{Exists: true, ETag: current.ETag, Modified: current.UpdatedAt}
	}
	switch c.Evaluate(s, safe) {
	case precondition.NotModified:
		return errNotModified
	case precondition.Failed:
		return preconditionFailed(current)
	}
	return nil
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
