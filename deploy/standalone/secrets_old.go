package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// oldSecrets are secrets of the previous release that this one still accepts. They are never
// generated. In an installation without them their readers get empty files.
var oldSecrets = []string{"internal-keys", "nats"}

// oldSecret returns the secret called name, or "" if there is none.
func (d *dataDir) oldSecret(name string) (string, error) {
	content, err := os.ReadFile(filepath.Join(d.path, "secrets", name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(content)), err
}

// oldTexts returns pairs of secret name and text to fill into files.
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

// dropOldSecrets deletes the old secrets and empties the files made from them, once all programs
// are of this release.
func dropOldSecrets(dir string, environ ...string) error {
	for _, name := range oldSecrets {
		if err := os.Remove(filepath.Join(dir, masterFolder, "secrets", name)); err != nil &&
			!errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return makeSecrets(dir, environ...)
}
