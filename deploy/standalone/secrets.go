package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/atomicfile"
	"github.com/realmgate/realmgate/vault-svc"
)

// masterFolder holds every secret in its folder secrets, readable by its owner only. A backup needs
// this folder.
const masterFolder = "all"

// secretKinds lists the secrets of an installation with separate services, and the function that
// generates each.
var secretKinds = []struct {
	name     string
	generate func() (string, error)
}{
	{"users-internal-keys", longRandomText},
	{"vault-internal-keys", longRandomText},
	{"activity-internal-keys", longRandomText},
	{"users-key-encryption-key", randomKey},
	{"vault-key-encryption-key", vault.GenerateKeyset},
	{"postgres-superuser", randomText},
	{"postgres-users_svc", randomText},
	{"postgres-vault_svc", randomText},
	{"postgres-activity_svc", randomText},
	{"redis", randomText},
	{"nats-gateway", randomText},
	{"nats-users-svc", randomText},
	{"nats-vault-svc", randomText},
	{"nats-activity-svc", randomText},
	{"grafana", randomText},
	{"admin-password", typeablePassword},
}

// typeablePassword returns a password with lower case, upper case and a symbol, as the password
// rule demands.
func typeablePassword() (string, error) {
	return strings.ToLower(rand.Text()[:10]) + "-" + rand.Text()[:10], nil
}

// secretFile is a file for one reader. {name} in text is replaced by the secret of that name.
type secretFile struct{ reader, file, text string }

// Host names are those of docker-compose.yml. Passwords have letters and digits only, so that they
// need no quoting.
const redisAddress = "redis://:{redis}@redis:6379/0"

// natsAddress returns the address for a service, with its own user of natsUsers.
func natsAddress(service string) string {
	return "nats://" + service + ":{nats-" + service + "}@nats:4222"
}

func databaseAddress(schema string) string {
	return "postgres://" + schema + ":{postgres-" + schema + "}@postgres:5432/realmgate?sslmode=disable"
}

// secretFiles says which reader gets which files. A service's folder is the only one mounted into
// its container, so it reads no other secrets.
var secretFiles = []secretFile{
	{"gateway", "users-internal-keys", "{users-internal-keys}"},
	{"gateway", "vault-internal-keys", "{vault-internal-keys}"},
	{"gateway", "activity-internal-keys", "{activity-internal-keys}"},
	{"gateway", "internal-keys", "{internal-keys}"},
	{"gateway", "nats-user-url", natsAddress("gateway")},
	{"gateway", "nats-url", "{nats-old-url}"},
	{"gateway", "redis-url", redisAddress},
	{"users-svc", "users-internal-keys", "{users-internal-keys}"},
	{"users-svc", "internal-keys", "{internal-keys}"},
	{"users-svc", "key-encryption-key", "{users-key-encryption-key}"},
	{"users-svc", "database-url", databaseAddress("users_svc")},
	{"users-svc", "nats-user-url", natsAddress("users-svc")},
	{"users-svc", "nats-url", "{nats-old-url}"},
	{"users-svc", "redis-url", redisAddress},
	{"users-svc", "admin-password", "{admin-password}"},
	{"vault-svc", "vault-internal-keys", "{vault-internal-keys}"},
	{"vault-svc", "internal-keys", "{internal-keys}"},
	{"vault-svc", "key-encryption-key", "{vault-key-encryption-key}"},
	{"vault-svc", "database-url", databaseAddress("vault_svc")},
	{"vault-svc", "nats-user-url", natsAddress("vault-svc")},
	{"activity-svc", "activity-internal-keys", "{activity-internal-keys}"},
	{"activity-svc", "internal-keys", "{internal-keys}"},
	{"activity-svc", "database-url", databaseAddress("activity_svc")},
	{"activity-svc", "nats-user-url", natsAddress("activity-svc")},
	{"activity-svc", "nats-url", "{nats-old-url}"},
	{"postgres", "superuser", "{postgres-superuser}"},
	{"postgres", "users_svc", "{postgres-users_svc}"},
	{"postgres", "vault_svc", "{postgres-vault_svc}"},
	{"postgres", "activity_svc", "{postgres-activity_svc}"},
	{"nats", "users.conf", natsUsers},
	{"nats", "auth.conf", "{nats-old-auth}"},
	{"redis", "auth.conf", "requirepass {redis}\n"},
	{"redis", "password", "{redis}"},
	{"grafana", "password", "{grafana}"},
}

// makeSecrets brings dir up to date. It generates each secret that is missing from dir/all/secrets,
// unless environ sets it, keeps existing ones, and writes each reader's files into the reader's
// folder. A folder may be a volume of its own, which other readers do not get. Readers' files are
// readable by the owner and group of this process: in docker-compose.yml the programs run under
// different user ids and share a group. Files in dir/all are readable by the owner only.
func makeSecrets(dir string, environ ...string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := nothingLost(dir); err != nil {
		return err
	}
	given, err := givenSecrets(environ)
	if err != nil {
		return err
	}
	d := &dataDir{path: filepath.Join(dir, masterFolder)}
	if err := given.fitsTo(d); err != nil {
		return err
	}
	var filled []string
	for _, k := range secretKinds {
		value, err := given.adopt(d, k.name, k.generate)
		if err != nil {
			return fmt.Errorf("secret %s: %w", k.name, err)
		}
		filled = append(filled, "{"+k.name+"}", value)
	}
	old, err := d.oldTexts()
	if err != nil {
		return err
	}
	filled = append(filled, old...)
	fill := strings.NewReplacer(filled...)
	for _, f := range secretFiles {
		text := fill.Replace(f.text)
		if value, ok := given[f.setting()]; ok {
			text = value
		}
		if err := writeForReader(filepath.Join(dir, f.reader, f.file), text); err != nil {
			return err
		}
	}
	return nil
}

// nothingLost returns an error if a secret is missing from dir/all/secrets although a reader's file
// was made from it: generating a new secret would overwrite the last copy of the one that the data
// needs.
func nothingLost(dir string) error {
	for _, k := range secretKinds {
		path := filepath.Join(dir, masterFolder, "secrets", k.name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, f := range secretFiles {
			copied := filepath.Join(dir, f.reader, f.file)
			if _, err := os.Stat(copied); err == nil && strings.Contains(f.text, "{"+k.name+"}") {
				return fmt.Errorf("%s is missing, and %s was made from it: put it back from a backup or from that "+
					"file", path,
					copied)
			}
		}
	}
	return nil
}

// readerMode lets the owner edit the file and its group read it.
const readerMode = 0o640

// writeForReader writes text to path, unless the file already has that content.
func writeForReader(path, text string) error {
	there, err := os.ReadFile(path)
	if err == nil && string(there) == text {
		return openToGroup(path) // a crash may have happened between writing the content and setting the mode
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	if err := atomicfile.Write(path, []byte(text)); err != nil {
		return err
	}
	return openToGroup(path)
}

// openToGroup gives the file to the group of this process; the folder may belong to another one.
func openToGroup(path string) error {
	if group := os.Getegid(); group >= 0 { // -1 on Windows
		if err := os.Chown(path, -1, group); err != nil {
			return err
		}
	}
	return os.Chmod(path, readerMode)
}

// showSecret writes one secret of dir/all to w, for the first sign-in of the operator.
func showSecret(w io.Writer, dir, name string) error {
	var names []string
	for _, k := range secretKinds {
		names = append(names, k.name)
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("no secret %q; there are %s", name, strings.Join(names, ", "))
	}
	content, err := os.ReadFile(filepath.Join(dir, masterFolder, "secrets", name))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(content))
	return err
}
