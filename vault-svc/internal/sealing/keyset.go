package sealing

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyset wraps and unwraps data keys with a Tink keyset. The primary key wraps; all keys unwrap.
type Keyset struct {
	handle  *keyset.Handle
	aead    tink.AEAD
	primary uint32
}

// ParseKeyset reads a keyset in Tink's JSON format for cleartext keysets. Its keys must be
// AEAD keys.
func ParseKeyset(json string) (*Keyset, error) {
	if strings.TrimSpace(json) == "" {
		return nil, errors.New("is empty; vault-svc keys generate prints a keyset")
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(json)))
	if err != nil {
		return nil, errors.New("is not a Tink keyset in JSON") // Tink's own text could quote the key
	}
	return newKeyset(h)
}

// GenerateKeyset returns a keyset with one new AES-256-GCM key.
func GenerateKeyset() (*Keyset, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	return newKeyset(h)
}

func newKeyset(h *keyset.Handle) (*Keyset, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, errors.New("does not hold AEAD keys")
	}
	primary, err := h.Primary()
	if err != nil {
		return nil, errors.New("has no primary key")
	}
	return &Keyset{handle: h, aead: a, primary: primary.KeyID()}, nil
}

// Primary returns the Tink id of the primary key.
func (k *Keyset) Primary() uint32 { return k.primary }

// Reveal returns the keyset as JSON for ParseKeyset. The JSON is secret.
func (k *Keyset) Reveal() (string, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.handle, keyset.NewJSONWriter(&b)); err != nil {
		return "", err
	}
	return b.String(), nil
}

// UnwrapKeyset reads a keyset in Tink's JSON format for encrypted keysets. kms unwraps it.
func UnwrapKeyset(json string, kms tink.AEAD) (*Keyset, error) {
	h, err := keyset.Read(keyset.NewJSONReader(strings.NewReader(json)), kms)
	if err != nil {
		return nil, fmt.Errorf("is not a keyset that VAULT_KMS_URI unwraps: %w", err)
	}
	return newKeyset(h)
}

// WrapWith returns the keyset, wrapped by kms, as JSON for UnwrapKeyset. Without the KMS the JSON
// reveals no key.
func (k *Keyset) WrapWith(kms tink.AEAD) (string, error) {
	var b bytes.Buffer
	if err := k.handle.Write(keyset.NewJSONWriter(&b), kms); err != nil {
		return "", err
	}
	return b.String(), nil
}

// Add returns the keyset with one more key, which unwraps but does not wrap yet. Every replica must
// have this keyset before Promote.
func (k *Keyset) Add() (*Keyset, error) {
	m := keyset.NewManagerFromHandle(k.handle)
	if _, err := m.Add(aead.AES256GCMKeyTemplate()); err != nil {
		return nil, err
	}
	return fromManager(m)
}

// Promote returns the keyset with its newest key as the primary key.
func (k *Keyset) Promote() (*Keyset, error) {
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

func fromManager(m *keyset.Manager) (*Keyset, error) {
	h, err := m.Handle()
	if err != nil {
		return nil, err
	}
	return newKeyset(h)
}

// Wrap returns the data key encrypted for storage. It unwraps only for the same user.
func (k *Keyset) Wrap(d *DataKey) ([]byte, error) {
	var b bytes.Buffer
	if err := d.handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&b), k.aead, dataKeyContext(d.user)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Unwrap is the reverse of Wrap.
func (k *Keyset) Unwrap(user string, wrapped []byte) (*DataKey, error) {
	reader := keyset.NewBinaryReader(bytes.NewReader(wrapped))
	h, err := keyset.ReadWithAssociatedData(reader, k.aead, dataKeyContext(user))
	if err != nil {
		return nil, fmt.Errorf("data key of user %s does not unwrap: %w", user, err)
	}
	return newDataKey(user, h)
}
