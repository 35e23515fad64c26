package vault

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Version names one sealing of a value or of metadata: 16 random bytes, stored beside what was
// sealed.
//
// It is random, and not a counter, because it must be known before the SQL runs: the value is
// sealed first, and only the statement that writes it learns under the row lock which write it is.
// Being part of the associated data it ties a ciphertext to the write that it was made for: the
// bytes of another write do not open in its place unless the version is moved along with them.
type Version = uuid.UUID

// newVersion returns a version that nobody used before.
func newVersion() Version { return uuid.New() }

// Part says which column of an item was sealed, so that the two cannot be exchanged.
type Part string

// The sealed columns.
const (
	valuePart    Part = "value"
	metadataPart Part = "metadata"
)

// KeyEncryption wraps and unwraps data keys with a Tink keyset: its primary key wraps, all its keys
// unwrap.
type KeyEncryption struct {
	handle  *keyset.Handle
	aead    tink.AEAD
	primary uint32
}

// ParseKeyEncryption reads a keyset in Tink's JSON format for cleartext keysets. Its keys must be
// AEAD keys.
func ParseKeyEncryption(json string) (*KeyEncryption, error) {
	if strings.TrimSpace(json) == "" {
		return nil, errors.New("is empty; vault-svc keys generate prints a keyset")
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(json)))
	if err != nil {
		return nil, errors.New("is not a Tink keyset in JSON") // Tink's own text could quote the key
	}
	return newKeyEncryption(h)
}

// GenerateKeyEncryption makes a keyset of one new AES-256-GCM key.
func GenerateKeyEncryption() (*KeyEncryption, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	return newKeyEncryption(h)
}

func newKeyEncryption(h *keyset.Handle) (*KeyEncryption, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, errors.New("does not hold AEAD keys")
	}
	primary, err := h.Primary()
	if err != nil {
		return nil, errors.New("has no primary key")
	}
	return &KeyEncryption{handle: h, aead: a, primary: primary.KeyID()}, nil
}

// Primary returns the Tink id of the key that wraps.
func (k *KeyEncryption) Primary() uint32 { return k.primary }

// Reveal returns the keyset as the JSON that ParseKeyEncryption reads: a secret.
func (k *KeyEncryption) Reveal() (string, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.handle, keyset.NewJSONWriter(&b)); err != nil {
		return "", err
	}
	return b.String(), nil
}

// UnwrapKeyEncryption reads a keyset that kms has wrapped, in Tink's JSON format for encrypted
// keysets.
func UnwrapKeyEncryption(json string, kms tink.AEAD) (*KeyEncryption, error) {
	h, err := keyset.Read(keyset.NewJSONReader(strings.NewReader(json)), kms)
	if err != nil {
		return nil, fmt.Errorf("is not a keyset that VAULT_KMS_URI unwraps: %w", err)
	}
	return newKeyEncryption(h)
}

// WrapWith returns the keyset as the JSON that UnwrapKeyEncryption reads: no secret without the
// KMS.
func (k *KeyEncryption) WrapWith(kms tink.AEAD) (string, error) {
	var b bytes.Buffer
	if err := k.handle.Write(keyset.NewJSONWriter(&b), kms); err != nil {
		return "", err
	}
	return b.String(), nil
}

// Add returns the keyset with one more key, which unwraps but does not wrap yet: give it to every
// replica before Promote.
func (k *KeyEncryption) Add() (*KeyEncryption, error) {
	m := keyset.NewManagerFromHandle(k.handle)
	if _, err := m.Add(aead.AES256GCMKeyTemplate()); err != nil {
		return nil, err
	}
	return fromManager(m)
}

// Promote returns the keyset with its newest key as the one that wraps.
func (k *KeyEncryption) Promote() (*KeyEncryption, error) {
	newest, err := k.handle.Entry(k.handle.Len() - 1)
	if err != nil {
		return nil, err
	}
	m := keyset.NewManagerFromHandle(k.handle)
	if err := m.SetPrimary(newest.KeyID()); err != nil {
		return nil, err
	}
	return fromManager(m)
}

func fromManager(m *keyset.Manager) (*KeyEncryption, error) {
	h, err := m.Handle()
	if err != nil {
		return nil, err
	}
	return newKeyEncryption(h)
}

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

// Wrap returns the data key encrypted for storage; only the same user's row opens it again.
func (k *KeyEncryption) Wrap(d *DataKey) ([]byte, error) {
	var b bytes.Buffer
	if err := d.handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&b), k.aead, dataKeyContext(d.user)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Unwrap is the reverse of Wrap.
func (k *KeyEncryption) Unwrap(user string, wrapped []byte) (*DataKey, error) {
	h, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(wrapped)), k.aead, dataKeyContext(user))
	if err != nil {
		return nil, fmt.Errorf("data key of user %s does not unwrap: %w", user, err)
	}
	return newDataKey(user, h)
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

// openRow opens both parts of a row, and compares their length with what the row says. The value is
// never nil; the metadata is nil when there is none.
func (d *DataKey) openRow(ref Ref, row storedItem) (value, metadata []byte, err error) {
	if value, err = d.Open(valuePart, ref, row.version, row.sealed); err != nil {
		return nil, nil, err
	}
	if metadata, err = d.openMetadata(ref, row.sealedInfo); err != nil {
		return nil, nil, err
	}
	if n := int64(len(value) + len(metadata)); n != row.size {
		return nil, nil, fmt.Errorf("%s has %d bytes and its row says %d", ref, n, row.size)
	}
	return value, metadata, nil
}

// openMetadata opens the metadata of a row, nil when there is none.
func (d *DataKey) openMetadata(ref Ref, row sealedInfo) ([]byte, error) {
	if row.metadataVersion == nil {
		return nil, nil
	}
	return d.Open(metadataPart, ref, *row.metadataVersion, row.metadata)
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
