// Package sealing provides encryption at rest: a data key for each user seals that user's items,
// and a keyset (VAULT_KEY_ENCRYPTION_KEY), which a key management service may keep closed, wraps
// the data keys. Start reading at DataKey.Seal; keyset.go has the keyset, keys.go the cache of data
// keys, kms.go the key management service.
package sealing

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Ref identifies an item. Realm is "" in the global scope.
type Ref struct{ User, Realm, Key string }

// String returns the reference as logs have it; it holds no secret.
func (r Ref) String() string { return fmt.Sprintf("user=%s realm=%q key=%q", r.User, r.Realm, r.Key) }

// Version identifies one sealing of a value or of metadata: 16 random bytes, stored beside the
// ciphertext and part of its associated data. The ciphertext of another write therefore does not
// open in its place unless its version is moved along with it.
//
// It is random, and not a counter, because the value is sealed before the SQL runs, and only the
// statement under the row lock could count the writes.
type Version = uuid.UUID

// NewVersion returns a new random version.
func NewVersion() Version { return uuid.New() }

// Part is a sealed column of an item; it is part of the associated data, so that the two columns
// cannot be exchanged.
type Part string

// The sealed columns.
const (
	Value    Part = "value"
	Metadata Part = "metadata"
)

// DataKey seals and opens the items of one user.
type DataKey struct {
	user   string
	handle *keyset.Handle
	aead   tink.AEAD
}

// NewDataKey makes the data key of a user.
func NewDataKey(user string) (*DataKey, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	return newDataKey(user, h)
}

func newDataKey(user string, h *keyset.Handle) (*DataKey, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, err
	}
	return &DataKey{user: user, handle: h, aead: a}, nil
}

// Seal encrypts one part of an item with AES-256-GCM; it opens only for the same user, realm, key
// name, part and version. It adds 33 bytes.
func (d *DataKey) Seal(part Part, ref Ref, v Version, plain []byte) ([]byte, error) {
	sealed, err := d.aead.Encrypt(plain, itemContext(part, ref, v))
	if err != nil {
		return nil, fmt.Errorf("seal %s of %s: %w", part, ref, err)
	}
	return sealed, nil
}

// Open is the reverse of Seal. It fails, and returns nothing, when any of the sealed bytes or of
// their context differs.
func (d *DataKey) Open(part Part, ref Ref, v Version, sealed []byte) ([]byte, error) {
	plain, err := d.aead.Decrypt(sealed, itemContext(part, ref, v))
	if err != nil {
		return nil, fmt.Errorf("%s of %s does not open: %w", part, ref, err)
	}
	return plain, nil
}

// itemContext is the associated data of an item. No field but the last, which has a fixed length,
// can hold the NUL that separates them, so no two items have the same.
func itemContext(part Part, ref Ref, v Version) []byte {
	b := make([]byte, 0, 64+len(ref.User)+len(ref.Realm)+len(ref.Key))
	for _, s := range []string{"realmgate vault item 1", string(part), ref.User, ref.Realm, ref.Key} {
		b = append(append(b, s...), 0)
	}
	return append(b, v[:]...)
}

func dataKeyContext(user string) []byte { return []byte("realmgate vault data key 1\x00" + user) }
