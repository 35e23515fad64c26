package netaddr

import (
	"net/netip"
	"testing"
)

func TestPrefixesAreReadInTheirCanonicalForm(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "192.0.2.9/24": "192.0.2.0/24", "2001:DB8::1": "2001:db8::1/128",
		"2001:db8:1::/32": "2001:db8::/32", "::ffff:192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.0/120": "192.0.2.0/24",
		"::ffff:0:0/95": "::fffe:0:0/95",
	} {
		if p, err := ParsePrefix(s); err != nil || p.String() != want {
			t.Errorf("%s: got %s %v, want %s", s, p, err, want)
		}
	}
	for _, s := range []string{"", "*", "192.0.2", "192.0.2.1/33", "fe80::1%eth0", "fe80::1%eth0/64", " 192.0.2.1",
		"192.0.2.1,192.0.2.2"} {
		if p, err := ParsePrefix(s); err == nil {
			t.Errorf("%q: got %s, want an error", s, p)
		}
		if _, err := ParsePrefixes([]string{"10.0.0.0/8", s}); err == nil {
			t.Errorf("a list with %q: no error", s)
		}
	}
}

func TestASenderIsAnAddressOrANetworkOfIPv6(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::1": "2001:db8:1:2::/64", "2001:db8:1:3::4": "2001:db8:1:3::/64",
		"fe80::1%eth0": "fe80::/64",
		"unknown":      "unknown",
	} {
		if got := NetworkOf(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
	for address, want := range map[string]string{"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1::/48"} {
		if got := Site(netip.MustParseAddr(address)); got != want {
			t.Errorf("the site of %s: got %s, want %s", address, got, want)
		}
	}
}

func TestContains(t *testing.T) {
	t.Parallel()
	list, err := ParsePrefixes([]string{"10.0.0.0/8", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{"10.1.2.3": true, "11.0.0.1": false, "2001:db8::7": true,
		"2001:db9::7": false} {
		if got := Contains(list, netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}
