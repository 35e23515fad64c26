//go:build unix

package atomicfile

import (
	"errors"
	"os"
)

// SyncDir flushes the entries of the directory path to disk; fsync of a new file alone does not.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
