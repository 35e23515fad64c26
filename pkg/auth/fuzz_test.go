package auth_test

import (
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

// FuzzIdentityHeader: nobody without a key makes an identity, whatever he makes of one that he has seen.
func FuzzIdentityHeader(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	keys, err := auth.NewInternalKeys("a key of the fuzz target that is long enough", func() time.Time { return now })
	if err != nil {
		f.Fatal(err)
	}
	signed := auth.Identity{Kind: auth.Session, UserID: "019a3c1d2e3f000000000001", SessionID: "019a3c1d2e3f000000000002", ClientAddr: "192.0.2.1"}
	header, err := keys.Sign(signed, "vault-svc")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		header, "", ".", "..", "a.b.c", header + ".", "eyJhbGciOiJub25lIn0.eyJraW5kIjoic3lzdGVtIn0.", header[:len(header)-1], "." + header,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := keys.Verify(s, "vault-svc")
		if err == nil && got != signed {
			t.Errorf("%q is taken for %+v", s, got)
		}
		if _, err := keys.Verify(s, "users-svc"); err == nil {
			t.Errorf("%q is taken by a service that it is not for", s)
		}
	})
}
