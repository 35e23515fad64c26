package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/gofrs/flock"

	"github.com/realmgate/realmgate/pkg/atomicfile"
)

// dataDir is the folder with all files that must survive a restart.
//
//	realmgate          marks the folder as ours
//	lock               held while a process uses the folder
//	secrets/           keys and passwords, one a file, readable by the owner only
//	postgres/ nats/    of the embedded servers
//	journal/           of the gateway
//	servers.env        how commands reach the servers of the process that holds the lock
type dataDir struct {
	path string
	lock *flock.Flock
}

const marker = "realmgate"

// errRunning says that another process uses the folder.
var errRunning = errors.New("another Realmgate is running")

// openDataDir locks the folder for this process and creates it if it is missing. A folder with
// foreign files, or one that another process uses, is an error that says what to do.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("DATA_DIR: cannot make the folder: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("DATA_DIR: cannot read the folder: %w", err)
	}
	d := &dataDir{path: path, lock: flock.New(filepath.Join(path, "lock"))}
	_, err = os.Stat(filepath.Join(path, marker))
	switch {
	case err == nil:
	case !slices.ContainsFunc(entries, foreign): // empty, or only the secrets of a backup
	default:
		return nil, fmt.Errorf("DATA_DIR: %s holds files that are not Realmgate's: set DATA_DIR to an empty folder",
			path)
	}
	held, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("DATA_DIR: cannot lock the folder: %w", err)
	}
	if !held {
		return nil, fmt.Errorf("DATA_DIR: %w on %s: stop it, or set DATA_DIR and GATEWAY_ADDR to others", errRunning,
			path)
	}
	if err := os.WriteFile(filepath.Join(path, marker), []byte("This folder belongs to Realmgate.\n"),
		0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("DATA_DIR: cannot write into the folder: %w", err), d.lock.Unlock())
	}
	return d, nil
}

// foreign reports whether the entry may be another program's file.
func foreign(entry os.DirEntry) bool { return entry.Name() != "lock" && entry.Name() != "secrets" }

func (d *dataDir) sub(name string) string { return filepath.Join(d.path, name) }

func (d *dataDir) close() error { return d.lock.Unlock() }

// secret returns the secret called name; generate makes it the first time. Secrets are written
// atomically, so an empty file means that its content was deleted. That is an error, because a new
// key would hide the loss of the data that the old one encrypted.
func (d *dataDir) secret(name string, generate func() (string, error)) (string, error) {
	path := filepath.Join(d.path, "secrets", name)
	content, err := os.ReadFile(path)
	switch {
	case err == nil && len(content) == 0:
		return "", fmt.Errorf("%s is empty: put its content back from a backup", path)
	case err == nil:
		return string(content), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	made, err := generate()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return made, atomicfile.Write(path, []byte(made))
}

// randomText generates a secret of 26 characters, 128 bits.
func randomText() (string, error) { return rand.Text(), nil }

// longRandomText generates a secret of 52 characters, for keys of at least 32.
func longRandomText() (string, error) { return rand.Text() + rand.Text(), nil }

// randomKey generates an AES-256 key in base64.
func randomKey() (string, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // crypto/rand.Read never returns an error: it crashes the program instead
	return base64.StdEncoding.EncodeToString(key), nil
}
