package gateway

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// published reads the list of operations that the OpenAPI document's own test holds it against.
func published(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("openapi/render/testdata/contract_routes.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

func TestTheClientIsTheLastAddressThatNoTrustedProxyHas(t *testing.T) {
	t.Parallel()
	trusted, err := netaddr.ParsePrefixes([]string{"10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::ffff:172.16.0.0/108"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		trusted    []netip.Prefix
		want       string
	}{
		{"nobody is trusted", "10.0.0.1", []string{"1.1.1.1"}, nil, "10.0.0.1"},
		{"a stranger is not believed", "8.8.8.8", []string{"1.1.1.1"}, trusted, "8.8.8.8"},
		{"a proxy is believed", "10.0.0.1", []string{"1.1.1.1"}, trusted, "1.1.1.1"},
		{"what the client wrote is not", "10.0.0.1", []string{"9.9.9.9, 1.1.1.1"}, trusted, "1.1.1.1"},
		{"two proxies", "10.0.0.1", []string{"9.9.9.9, 1.1.1.1, 10.2.2.2"}, trusted, "1.1.1.1"},
		{"two headers", "10.0.0.1", []string{"9.9.9.9", "1.1.1.1 ,10.2.2.2"}, trusted, "1.1.1.1"},
		{"only proxies", "10.0.0.1", []string{"10.9.9.9,10.2.2.2"}, trusted, "10.9.9.9"},
		{"junk ends it", "10.0.0.1", []string{"1.1.1.1, junk, 10.2.2.2"}, trusted, "10.2.2.2"},
		{"an empty header", "10.0.0.1", []string{""}, trusted, "10.0.0.1"},
		{"empty elements", "10.0.0.1", []string{"9.9.9.9, 1.1.1.1,, 10.2.2.2 , ,"}, trusted, "1.1.1.1"},
		{"empty lines", "10.0.0.1", []string{"9.9.9.9, 1.1.1.1", "", " \t", "10.2.2.2"}, trusted, "1.1.1.1"},
		{"commas only", "10.0.0.1", []string{",,,"}, trusted, "10.0.0.1"},
		{"with a port", "10.0.0.1", []string{"1.1.1.1:99"}, trusted, "1.1.1.1"},
		{"IPv6", "2001:db8::1", []string{"2a00::7"}, trusted, "2a00::7"},
		{"IPv6 in brackets with a port", "2001:db8::1", []string{"[2a00::7]:80"}, trusted, "2a00::7"},
		{"IPv4 in IPv6", "::ffff:10.0.0.1", []string{"::ffff:1.1.1.1"}, trusted, "1.1.1.1"},
		{"a block written as IPv4 in IPv6", "172.16.3.4", []string{"1.1.1.1"}, trusted, "1.1.1.1"},
	} {
		got := edge.ClientAddr(&net.TCPAddr{IP: net.ParseIP(c.peer), Port: 1}, c.forwarded, c.trusted)
		if got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func FuzzClientAddr(f *testing.F) {
	trusted, _ := netaddr.ParsePrefixes([]string{"10.0.0.0/8"})
	f.Add("1.1.1.1, 10.0.0.2")
	f.Add("[::1]:80,,")
	f.Fuzz(func(t *testing.T, forwarded string) {
		got := edge.ClientAddr(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, []string{forwarded}, trusted)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%q gave %v", forwarded, got)
		}
	})
}

func TestCredentialsAreReadFromTheAuthorizationHeader(t *testing.T) {
	t.Parallel()
	token := "hdy_507f1f77bcf86cd799439011_" + strings.Repeat("0123456789ab", 4)
	for value, want := range map[string]credentialKind{
		"":                                  noCredential,
		"  ":                                noCredential,
		"Bearer":                            noCredential,
		"Bearer a.b.c":                      jwtCredential,
		"bearer a.b.c":                      jwtCredential,
		"Bearer   a.b.c":                    jwtCredential,
		"Bearer " + token:                   tokenCredential,
		"BEARER " + token:                   tokenCredential,
		token:                               tokenCredential,
		token[:len(token)-1]:                badCredential,
		token + "0":                         badCredential,
		"Bearer hdy_x":                      badCredential,
		"Basic YTpi":                        badCredential,
		"a.b.c":                             badCredential,
		"Bearera.b.c":                       badCredential,
		strings.Replace(token, "_", "-", 2): badCredential,
		"Bearer " + strings.Repeat("a", maxJWT+1): badCredential,
	} {
		if got := parseCredential([]byte(value)).kind; got != want {
			t.Errorf("%.60q: %d, want %d", value, got, want)
		}
	}
}

func FuzzCredential(f *testing.F) {
	f.Add([]byte("Bearer a.b.c"))
	f.Add([]byte("hdy_507f1f77bcf86cd799439011_" + strings.Repeat("0123456789ab", 4)))
	f.Fuzz(func(t *testing.T, value []byte) {
		c := parseCredential(value)
		if c.kind == tokenCredential && !isAuthToken(c.text) || c.kind == jwtCredential &&
			(len(c.text) == 0 || len(c.text) > maxJWT) {
			t.Fatalf("%q was read as %d %q", value, c.kind, c.text)
		}
	})
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		max  int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aé", 2, "a"}, {"é", 1, ""}, {"a\xffb", 10, "a\uFFFDb"},
		{"\U0001F600", 3, ""}, {"x\U0001F600", 5, "x\U0001F600"}} {
		if got := text([]byte(c.in), c.max); got != c.want {
			t.Errorf("%q at %d: %q, want %q", c.in, c.max, got, c.want)
		}
	}
}
