package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/realmgate/realmgate/pkg/atomicfile"
	"github.com/realmgate/realmgate/pkg/config"
)

// setting returns the name of the setting whose value the file holds; its reader has <NAME>_FILE.
func (f secretFile) setting() string {
	name := strings.ToUpper(strings.ReplaceAll(f.file, "-", "_"))
	if f.file == "nats-user-url" {
		name = "NATS_URL"
	}
	if f.reader == "vault-svc" && f.file == "key-encryption-key" {
		name = "VAULT_" + name
	}
	return name
}

// kind returns the name of the secret if the file holds nothing else, and "" for a file with more,
// such as an address.
func (f secretFile) kind() string {
	kind := strings.TrimSuffix(strings.TrimPrefix(f.text, "{"), "}")
	if f.text != "{"+kind+"}" {
		return ""
	}
	return kind
}

// given maps settings of the operator to their values, which replace generated secrets.
type given map[string]string

// givenSecrets finds the settings in environ whose files -make-secrets writes. An empty value
// counts as not set.
func givenSecrets(environ []string) (given, error) {
	g, wanted := given{}, map[string]bool{}
	for _, f := range secretFiles {
		wanted[f.setting()] = true
	}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !wanted[name] || value == "" {
			continue
		}
		if err := config.Unquoted(name, value); err != nil {
			return nil, err
		}
		g[name] = value
	}
	return g, nil
}

// settingOf returns the setting for the secret called kind.
func settingOf(kind string) string {
	for _, f := range secretFiles {
		if f.kind() == kind {
			return f.setting()
		}
	}
	return ""
}

// replaceable is the only secret that no stored data depends on.
const replaceable = "admin-password"

// fitsTo returns an error if a given key differs from the one in d, because stored data was made
// with that one.
func (g given) fitsTo(d *dataDir) error {
	for _, k := range secretKinds {
		name := settingOf(k.name)
		value, ok := g[name]
		if !ok || k.name == replaceable {
			continue
		}
		path := filepath.Join(d.path, "secrets", k.name)
		there, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case string(there) != value:
			return fmt.Errorf("%s is not what %s holds, with which data was sealed: take %s out, or change that file",
				name, path, name)
		}
	}
	return nil
}

// adopt returns the operator's secret called kind and stores it in d. Without one it returns the
// secret in d, generating it if needed.
func (g given) adopt(d *dataDir, kind string, generate func() (string, error)) (string, error) {
	value, ok := g[settingOf(kind)]
	if !ok {
		return d.secret(kind, generate)
	}
	there, err := d.secret(kind, func() (string, error) { return value, nil })
	if err != nil || there == value {
		return value, err
	}
	return value, atomicfile.Write(filepath.Join(d.path, "secrets", kind), []byte(value))
}
