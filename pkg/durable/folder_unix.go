//go:build unix

package durable

import (
	"errors"
	"os"
)

// SyncFolder makes the disk keep what a folder holds, which the flushing of a new file does not.
func SyncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
