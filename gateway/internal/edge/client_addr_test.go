package edge

import (
	"net"
	"net/netip"
	"testing"

	"github.com/realmgate/realmgate/pkg/netaddr"
)

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
		got := clientAddr(&net.TCPAddr{IP: net.ParseIP(c.peer), Port: 1}, c.forwarded, c.trusted)
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
		got := clientAddr(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, []string{forwarded}, trusted)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%q gave %v", forwarded, got)
		}
	})
}
