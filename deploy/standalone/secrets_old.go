package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// oldSecrets are those of the previous release that this one still accepts. They are never made: what reads
// them gets an empty file in an installation that does not have them, or not any more.
var oldSecrets = []string{"internal-keys"}

// oldSecret returns the secret called name, "" when there is none.
func (d *dataDir) oldSecret(name string) (string, error) {
	content, err := os.ReadFile(filepath.Join(d.path, "secrets", name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(content)), err
}

// dropOldSecrets deletes them, for an operator whose programs are all of this release, and empties the files
// that were made from them.
func dropOldSecrets(dir string, environ ...string) error {
	for _, name := range oldSecrets {
		if err := os.Remove(filepath.Join(dir, masterFolder, "secrets", name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return makeSecrets(dir, environ...)
}
