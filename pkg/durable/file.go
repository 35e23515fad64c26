// Package durable owns the writing of small files that a crash must leave either as they were or as they are to be. Start reading at WriteFile.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile puts content in the place of the file path, readable by its owner only. Once it returns nil the new file outlives a crash of the machine;
// before, and after an error, there is the old one or the new one, whole.
func WriteFile(path string, content []byte) error {
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
	return SyncFolder(filepath.Dir(path))
}
