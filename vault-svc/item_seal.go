package vault

import (
	"fmt"

	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// seal seals value and metadata, which may be nil, for a version number of an item, each with a
// sealing version of its own.
func seal(key *sealing.DataKey, ref sealing.Ref, number int64, value, metadata []byte) (s store.Sealed, err error) {
	s = store.Sealed{Number: number, Version: sealing.NewVersion(number)}
	if s.Value, err = key.Seal(sealing.Value, ref, s.Version, value); err != nil || metadata == nil {
		return s, err
	}
	v := sealing.NewVersion(number)
	s.MetadataVersion = &v
	s.Metadata, err = key.Seal(sealing.Metadata, ref, v, metadata)
	return s, err
}

// openRow opens the value and the metadata of a row, and compares their length with the size in the
// row. The value is never nil; the metadata is nil when there is none. A value that was sealed for
// another number does not open.
func openRow(key *sealing.DataKey, ref sealing.Ref, row store.Item) (value, metadata []byte, err error) {
	if n, ok := sealing.NumberOf(row.Version); ok && n != row.Number {
		return nil, nil, fmt.Errorf("value of %s does not open: it is version %d and its row says %d", ref, n, row.Number)
	}
	if value, err = key.Open(sealing.Value, ref, row.Version, row.Sealed); err != nil {
		return nil, nil, err
	}
	if metadata, err = openMetadata(key, ref, row.Info); err != nil {
		return nil, nil, err
	}
	if n := int64(len(value) + len(metadata)); n != row.Size {
		return nil, nil, fmt.Errorf("%s has %d bytes and its row says %d", ref, n, row.Size)
	}
	return value, metadata, nil
}

// openMetadata opens the metadata of a row. It returns nil when there is none. Metadata that a
// write kept is older than the value, never newer.
func openMetadata(key *sealing.DataKey, ref sealing.Ref, row store.Info) ([]byte, error) {
	if row.MetadataVersion == nil {
		return nil, nil
	}
	if n, ok := sealing.NumberOf(*row.MetadataVersion); ok && n > row.Number {
		return nil, fmt.Errorf("metadata of %s does not open: it is version %d and its row says %d", ref, n, row.Number)
	}
	return key.Open(sealing.Metadata, ref, *row.MetadataVersion, row.Metadata)
}
