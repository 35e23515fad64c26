// Package store provides the rows of the vault: items, their earlier versions, the trash, the
// accounts of sizes and the changes. It contains all SQL of the vault but that of data keys, and
// seals nothing itself.
//
// Every change is one transaction. Most are one round trip: a statement that calls a function of
// migrations/00073_write.sql or 00074_write_functions.sql. These lock the user's row of vault_usage
// first, so that accounts, numbers of versions and revisions are exact. A change that depends on
// what is stored, such as a conditional write, runs in a Transaction, which holds that lock too.
//
// Start reading at Store.WriteBatch and Transaction.
package store

import (
	"time"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// Store reads and writes the rows of the vault.
type Store struct{ pool *db.Pool }

// New returns the store of a database.
func New(pool *db.Pool) *Store { return &Store{pool} }

// Info is an item, or a version of one, without its value.
type Info struct {
	Key             string
	Number          int64           // of the version
	Version         sealing.Version // of the value's sealing
	Metadata        []byte          // sealed; nil when there is none
	MetadataVersion *sealing.Version
	Size            int64 // bytes of value and metadata
	Created         time.Time
	Updated         time.Time
	Expires         *time.Time // nil: never
}

// Item is an item with its value. Sealed is nil when the value is larger than the reader's limit.
type Item struct {
	Info
	Sealed []byte
}

// Limits are those of a user's account.
type Limits struct {
	Bytes    int64 // of the items; the earlier versions may have as many again
	Items    int64
	Versions int64 // earlier versions of one key
}

// rows returns the most rows of earlier versions. It bounds versions without a size.
func (l Limits) rows() int64 { return l.Items * (l.Versions + 1) }
