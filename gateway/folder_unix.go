//go:build unix

package gateway

import (
	"errors"
	"os"
)

// syncFolder makes the disk keep what a folder holds, which the flushing of a new file does not.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
