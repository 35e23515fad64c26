package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestALostSecretIsNotMadeAnew(t *testing.T) {
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
