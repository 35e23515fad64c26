package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestALostSecretIsNotReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := makeSecrets(dir); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		var all []string
		err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				content, readErr := os.ReadFile(path)
				all, err = append(all, path+"="+string(content)), readErr
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, "\n")
	}
	master := filepath.Join(dir, masterFolder, "secrets", "vault-key-encryption-key")
	kept, err := os.ReadFile(master)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lose func() error
		says string
	}{
		"removed": {func() error { return os.Remove(master) }, "vault-svc/key-encryption-key was made from it"},
		"emptied": {func() error { return os.WriteFile(master, nil, 0o600) }, "vault-key-encryption-key is empty"},
	} {
		if err := c.lose(); err != nil {
			t.Fatal(err)
		}
		before := read()
		if err := makeSecrets(dir); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
		if read() != before {
			t.Errorf("%s: files were changed", name)
		}
	}
	if err := os.WriteFile(master, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	before := read()
	if err := makeSecrets(dir); err != nil || read() != before {
		t.Errorf("put back: %v", err)
	}
}

// readAll returns the content of every file below dir by its path.
func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			content, readErr := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, path)
			all[rel], err = string(content), readErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNoSecretIsReadableByEverybody covers new secrets and those whose mode an earlier release left
// too open.
func TestNoSecretIsReadableByEverybody(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	hold := func(when string) {
		t.Helper()
		if err := makeSecrets(dir); err != nil {
			t.Fatal(err)
		}
		files := 0
		err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			want := os.FileMode(readerMode)
			switch {
			case strings.HasPrefix(path, filepath.Join(dir, masterFolder)) && !info.IsDir():
				want = 0o600
			case info.IsDir():
				want = info.Mode().Perm() &^ 0o007
			case info.Mode().Perm()&0o200 == 0:
				t.Errorf("%s: its owner cannot change %s", when, path)
			}
			if info.Mode().Perm() != want {
				t.Errorf("%s: %s is %v, want %v", when, path, info.Mode(), want)
			}
			if !info.IsDir() {
				files++
			}
			return nil
		})
		if err != nil || files < len(secretKinds)+len(secretFiles) {
			t.Errorf("%s: %d files, %v", when, files, err)
		}
	}
	hold("made")
	for _, f := range secretFiles {
		if err := os.Chmod(filepath.Join(dir, f.reader, f.file), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	hold("after an earlier release")
}

// TestTheOperatorsSecretsReplaceGeneratedOnes: they are taken literally, and a key that sealed
// data depends on is never replaced.
func TestTheOperatorsSecretsReplaceGeneratedOnes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const first, second, key, redis = `Pa$w0rd#12-{nats}`, `another $$ "one" = 7`,
		"bXkgb3duIGtleSBvZiAzMiBieXRlcywgbm90IHlvdXI=", "rediss://:x@redis.example:6380/0"
	steps := []struct {
		name    string
		environ []string
		says    string
		want    map[string]string
	}{
		{"at the first start", []string{"ADMIN_PASSWORD=" + first, "KEY_ENCRYPTION_KEY=" + key, "REDIS_URL=" + redis,
			"LOG_LEVEL=debug", "NATS_URL="}, "", map[string]string{
			"users-svc/admin-password": first, "all/secrets/admin-password": first, "users-svc/key-encryption-key": key,
			"all/secrets/users-key-encryption-key": key, "users-svc/redis-url": redis, "gateway/redis-url": redis,
		}},
		{"no longer given", nil, "",
			map[string]string{"users-svc/admin-password": first, "users-svc/key-encryption-key": key}},
		{"another password", []string{"ADMIN_PASSWORD=" + second, "KEY_ENCRYPTION_KEY=" + key}, "", map[string]string{
			"users-svc/admin-password": second, "all/secrets/admin-password": second,
		}},
		{"another key", []string{"ADMIN_PASSWORD=" + first, "KEY_ENCRYPTION_KEY=other"},
			"KEY_ENCRYPTION_KEY is not what", nil},
		{"another keyset", []string{"VAULT_KEY_ENCRYPTION_KEY=other"}, "VAULT_KEY_ENCRYPTION_KEY is not what", nil},
		{"quoted", []string{`ADMIN_PASSWORD='` + first + `'`}, "ADMIN_PASSWORD begins and ends with a quotation mark",
			nil},
	}
	for _, step := range steps {
		before := readAll(t, dir)
		err := makeSecrets(dir, step.environ...)
		after := readAll(t, dir)
		if step.says != "" {
			if err == nil || !strings.HasPrefix(err.Error(), step.says) || strings.Contains(err.Error(), "other\"") ||
				!maps.Equal(before, after) {
				t.Errorf("%s: %v, want %q first and no file changed", step.name, err, step.says)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		for file, text := range step.want {
			if after[file] != text {
				t.Errorf("%s: %s holds %q, want %q", step.name, file, after[file], text)
			}
		}
		if !strings.HasPrefix(after["gateway/nats-user-url"], "nats://") {
			t.Errorf("%s: an empty setting took the place of an address: %q", step.name, after["gateway/nats-user-url"])
		}
	}
}

// TestTheOldSecretsLastUntilTheyAreDropped: a new installation gets no key list shared by all
// services. An updated installation keeps it until the operator drops it.
func TestTheOldSecretsLastUntilTheyAreDropped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func(reader, file string) string {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, reader, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	hold := func(want string) {
		t.Helper()
		own := map[string]string{}
		for reader, file := range map[string]string{"users-svc": "users-internal-keys",
			"vault-svc": "vault-internal-keys", "activity-svc": "activity-internal-keys"} {
			if got := read(reader, "internal-keys"); got != want {
				t.Errorf("%s has %q of the old list, want %q", reader, got, want)
			}
			key := read(reader, file)
			if len(key) < 32 || key != read("gateway", file) || own[key] != "" {
				t.Errorf("%s has no key of its own that the gateway has: %q", reader, key)
			}
			own[key] = reader
		}
		if got := read("gateway", "internal-keys"); got != want {
			t.Errorf("the gateway has %q of the old list, want %q", got, want)
		}
	}
	if err := makeSecrets(dir); err != nil {
		t.Fatal(err)
	}
	hold("")
	old := strings.Repeat("x", 52)
	if err := os.WriteFile(filepath.Join(dir, masterFolder, "secrets", "internal-keys"), []byte(old),
		0o600); err != nil {
		t.Fatal(err)
	}
	if err := makeSecrets(dir); err != nil {
		t.Fatal(err)
	}
	hold(old)
	for range 2 {
		if err := dropOldSecrets(dir); err != nil {
			t.Fatal(err)
		}
		hold("")
	}
}
