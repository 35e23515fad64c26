package realm

import (
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/id"
)

func TestTheFirstLabelOfTheHostIsTheRealm(t *testing.T) {
	t.Parallel()
	realm := "507f1f77bcf86cd799439011"
	for host, want := range map[string]string{
		realm + ".localhost":                       realm,
		realm + ".localhost:8080":                  realm,
		"507F1F77BCF86CD799439011.Example.com":     realm,
		realm + ".a.b.c:1":                         realm,
		realm:                                      "",
		realm + ":8080":                            "",
		realm + ".":                                "",
		realm + ".:8080":                           "",
		realm + "0.localhost":                      "",
		realm[:23] + ".localhost":                  "",
		realm[:23] + "g.localhost":                 "",
		"www." + realm + ".localhost":              "",
		"localhost:8080":                           "",
		"127.0.0.1":                                "",
		"[::1]:8080":                               "",
		"[2001:db8:85a3:8d3:1319:8a2e:370:7348]:8": "",
		"": "",
	} {
		if got := FromHost([]byte(host)); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

func FuzzFromHost(f *testing.F) {
	f.Add([]byte("507f1f77bcf86cd799439011.localhost:8080"))
	f.Add([]byte("[::1]:80"))
	f.Fuzz(func(t *testing.T, host []byte) {
		realm := FromHost(host)
		if realm == "" {
			return
		}
		if !id.Valid(realm) || !strings.HasPrefix(strings.ToLower(string(host)), realm+".") {
			t.Fatalf("%q named realm %q", host, realm)
		}
	})
}

func TestTheRealmOfTheQueryMustBeTheRealmOfTheHost(t *testing.T) {
	t.Parallel()
	const one, other = "507f1f77bcf86cd799439011", "507f1f77bcf86cd799439012"
	for _, c := range []struct {
		asked, host, want string
		refused           bool
	}{
		{"", "", "", false}, {one, "", one, false}, {"", one, one, false}, {one, one, one, false},
		{one, other, "", true},
	} {
		got, err := Resolve(c.asked, c.host)
		if got != c.want || (err != nil) != c.refused {
			t.Errorf("asked %q on host %q: got %q, %v, want %q", c.asked, c.host, got, err, c.want)
		}
	}
}
