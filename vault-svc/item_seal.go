package vault

import (
	"fmt"

	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// seal seals the value and the metadata of a write, each with a version of its own.
func seal(key *sealing.DataKey, w Write) (s sealedWrite, err error) {
	s = sealedWrite{
		Ref: w.Ref, version: sealing.NewVersion(), keepMetadata: w.KeepMetadata, valueBytes: int64(len(w.Value)),
		metadataBytes: int64(len(w.Metadata)),
	}
	if s.value, err = key.Seal(sealing.Value, w.Ref, s.version, w.Value); err != nil || w.Metadata == nil {
		return s, err
	}
	v := sealing.NewVersion()
	s.metadataVersion = &v
	s.metadata, err = key.Seal(sealing.Metadata, w.Ref, v, w.Metadata)
	return s, err
}

// openRow opens the value and the metadata of a row, and compares their length with the size in the
// row. The value is never nil; the metadata is nil when there is none.
func openRow(key *sealing.DataKey, ref sealing.Ref, row storedItem) (value, metadata []byte, err error) {
	if value, err = key.Open(sealing.Value, ref, row.version, row.sealed); err != nil {
		return nil, nil, err
	}
	if metadata, err = openMetadata(key, ref, row.sealedInfo); err != nil {
		return nil, nil, err
	}
	if n := int64(len(value) + len(metadata)); n != row.size {
		return nil, nil, fmt.Errorf("%s has %d bytes and its row says %d", ref, n, row.size)
	}
	return value, metadata, nil
}

// openMetadata opens the metadata of a row. It returns nil when there is none.
func openMetadata(key *sealing.DataKey, ref sealing.Ref, row sealedInfo) ([]byte, error) {
	if row.metadataVersion == nil {
		return nil, nil
	}
	return key.Open(sealing.Metadata, ref, *row.metadataVersion, row.metadata)
}
