// Package atomicfile replaces small files atomically: after a crash a file has either its old
// content or its new one. Start reading at Write.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write replaces the content of the file path, readable by its owner only. Once it returns nil, the
// new content survives a crash of the machine. Before that, and after an error, the file has the
// whole old or the whole new content.
func Write(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after an error
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}
