package main

import "testing"

func TestWhatIsEmptyIsNotSet(t *testing.T) {
	t.Parallel()
	r := start(t, "INTERNAL_TLS_CERT_FILE=", "INTERNAL_KEYS=", "KEY_ENCRYPTION_KEY=", "VAULT_KEY_ENCRYPTION_KEY_FILE=", "DATABASE_URL_FILE=")
	r.login(adminEmail, adminPassword)
}
