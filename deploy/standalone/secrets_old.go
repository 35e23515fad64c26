package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// oldSecrets are those of the previous release that this one still accepts. They are never made:
// what reads them gets an empty file in an installation that does not have them, or not any more.
var oldSecrets = []string{"internal-keys", "nats"}

// oldSecret returns the secret called name, "" when there is none.
func (d *dataDir) oldSecret(name string) (string, error) {
	content, err := os.ReadFile(filepath.Join(d.path, "secrets", name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(content)), err
}

// oldTexts returns what to fill into files for these secrets, each name followed by its text.
func (d *dataDir) oldTexts() ([]string, error) {
	var out []string
	for _, name := range oldSecrets {
		value, err := d.oldSecret(name)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
		out = append(out, "{"+name+"}", value)
		if name == "nats" {
			address, conf, user := natsOld(value)
			out = append(out, "{nats-old-url}", address, "{nats-old-auth}", conf, "{nats-old-user}", user)
		}
	}
	return out, nil
}

// dropOldSecrets deletes them, for an operator whose programs are all of this release, and empties
// the files that were made from them.
func dropOldSecrets(dir string, environ ...string) error {
	for _, name := range oldSecrets {
		if err := os.Remove(filepath.Join(dir, masterFolder, "secrets", name)); err != nil &&
			!errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return makeSecrets(dir, environ...)
}
