// Package sealing provides encryption at rest. Each user has a data key that seals the user's
// items. A keyset (VAULT_KEY_ENCRYPTION_KEY) wraps the data keys, and a key management service may
// wrap the keyset. Start reading at DataKey.Seal. keyset.go contains the keyset, keys.go the cache
// of data keys, kms.go the key management service.
package sealing

import (
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Ref identifies an item. The realm of the global scope is "".
type Ref struct{ User, Realm, Key string }

// String returns the reference for logs. It contains no secret.
func (r Ref) String() string { return fmt.Sprintf("user=%s realm=%q key=%q", r.User, r.Realm, r.Key) }

// Version identifies one sealing of a value or of metadata. Its 16 bytes are stored beside the
// ciphertext and are part of the associated data. An older ciphertext therefore does not open in
// its place, unless the version is copied with it.
//
// It is a UUID of version 8 (RFC 9562, section 5.8): 48 bits are the number of the item's version,
// so that the number is bound to the ciphertext too, and 74 bits are random. Earlier releases made
// UUIDs of version 4, which contain no number.
type Version = uuid.UUID

// NewVersion returns a new version for the item's version number, which must be positive.
func NewVersion(number int64) Version {
	v := uuid.New()
	binary.BigEndian.PutUint16(v[0:], uint16(number>>32))
	binary.BigEndian.PutUint32(v[2:], uint32(number))
	v[6] = v[6]&0x0f | 0x80
	return v
}

// NumberOf returns the number in v. It returns false when an earlier release made v.
func NumberOf(v Version) (int64, bool) {
	if v.Version() != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint16(v[0:]))<<32 | int64(binary.BigEndian.Uint32(v[2:])), true
}

// Part is a sealed column of an item. It is included in the associated data, so that the two
// columns cannot be exchanged.
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

// NewDataKey returns a new random data key for a user.
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

// Seal encrypts one part of an item with AES-256-GCM. The result is 33 bytes longer than plain and
// opens only for the same user, realm, key name, part and version.
func (d *DataKey) Seal(part Part, ref Ref, v Version, plain []byte) ([]byte, error) {
	sealed, err := d.aead.Encrypt(plain, itemContext(part, ref, v))
	if err != nil {
		return nil, fmt.Errorf("seal %s of %s: %w", part, ref, err)
	}
	return sealed, nil
}

// Open decrypts the result of Seal. It returns an error and no bytes when the sealed bytes or any
// part of their context differ.
func (d *DataKey) Open(part Part, ref Ref, v Version, sealed []byte) ([]byte, error) {
	plain, err := d.aead.Decrypt(sealed, itemContext(part, ref, v))
	if err != nil {
		return nil, fmt.Errorf("%s of %s does not open: %w", part, ref, err)
	}
	return plain, nil
}

// itemContext returns the associated data of an item. NUL separates the fields. Only the last
// field, which has a fixed length, can contain a NUL, so no two items have the same associated
// data.
func itemContext(part Part, ref Ref, v Version) []byte {
	b := make([]byte, 0, 64+len(ref.User)+len(ref.Realm)+len(ref.Key))
	for _, s := range []string{"realmgate vault item 1", string(part), ref.User, ref.Realm, ref.Key} {
		b = append(append(b, s...), 0)
	}
	return append(b, v[:]...)
}

func dataKeyContext(user string) []byte { return []byte("realmgate vault data key 1\x00" + user) }
