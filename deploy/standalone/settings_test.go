package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestWhatIsEmptyIsNotSet(t *testing.T) {
	t.Parallel()
	r := start(t, "INTERNAL_TLS_CERT_FILE=", "INTERNAL_KEYS=", "KEY_ENCRYPTION_KEY=", "VAULT_KEY_ENCRYPTION_KEY_FILE=", "DATABASE_URL_FILE=")
	r.login(adminEmail, adminPassword)
}

func TestWhatStandaloneSetsItselfIsMarked(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	if err := printSettings(&table); err != nil {
		t.Fatal(err)
	}
	for _, name := range setHere {
		if !regexp.MustCompile(`(?m)^` + name + ` .*Standalone sets it itself\.`).MatchString(table.String()) {
			t.Errorf("-config does not mark %s", name)
		}
	}
	if got := ignored([]string{"USERS_URL=http://127.0.0.1:1", "JOURNAL_DIR=", "GATEWAY_ADDR=127.0.0.1:0"}); !slices.Equal(got, []string{"USERS_URL"}) {
		t.Errorf("said to have no effect: %v, want USERS_URL", got)
	}
}

func TestTheAdminAddressIsTheGateways(t *testing.T) {
	t.Parallel()
	admin := testkit.FreeAddr(t)
	start(t, "ADMIN_ADDR="+admin)
	res, err := http.Get("http://" + admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), "public keys") {
		t.Errorf("/readyz: %d %s (%v), want the gateway's", res.StatusCode, body, err)
	}
}

func TestWhatIsNoStartMakesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		args    []string
		environ []string
		code    int
		says    string
	}{
		{"help", []string{"-h"}, nil, 0, "-make-secrets"},
		{"an unknown flag", []string{"-serve"}, nil, 2, "-serve"},
		{"a command", []string{"foo"}, nil, 2, `no command "foo"`},
		{"a command after a flag", []string{"-version", "foo"}, nil, 2, `no command "foo"`},
		{"a secret of no folder", []string{"-show", "admin-password"}, nil, 2, "-show needs -make-secrets"},
	} {
		dir, out := t.TempDir(), &bytes.Buffer{}
		code := run(t.Context(), c.args, append([]string{"GATEWAY_ADDR=127.0.0.1:0", "DATA_DIR=" + dir}, c.environ...), out, out)
		if code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit %d, want %d; said %q, want %q in it", c.name, code, c.code, out, c.says)
		}
		if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
			t.Errorf("%s: made %v (%v)", c.name, made, err)
		}
	}
}
