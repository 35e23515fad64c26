// Package netaddr provides the rules for IP addresses that gateway and services share: the notation
// of address ranges, and the addresses that count as one sender. Start reading at ParsePrefix.
package netaddr

import (
	"fmt"
	"net"
	"net/netip"
)

// ParsePrefix reads an address or a CIDR block (RFC 4632, RFC 4291) into its canonical form. An
// IPv4-mapped IPv6 address becomes the IPv4 address, the form in which Peer returns it. An address
// with a zone is an error, because the zone means nothing on another machine.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a CIDR block", s)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// ParsePrefixes calls [ParsePrefix] for each entry of list; its error names the first invalid
// entry.
func ParsePrefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Contains reports whether one of the prefixes contains a.
func Contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Peer returns the address of a connection's other end; the zero Addr when it is not TCP.
func Peer(peer net.Addr) netip.Addr {
	if tcp, ok := peer.(*net.TCPAddr); ok {
		a, _ := netip.AddrFromSlice(tcp.IP)
		return a.Unmap()
	}
	return netip.Addr{}
}

// Network returns the key by which a sender is counted: an IPv4 address itself, or the /64 network
// of an IPv6 address, because one host has all addresses of such a network.
func Network(a netip.Addr) string {
	return networkOf(a, 64)
}

// Site is like [Network] with the /48 that a site gets, whose /64 networks would otherwise count as
// 65,536 senders.
func Site(a netip.Addr) string { return networkOf(a, 48) }

func networkOf(a netip.Addr, bitsOfIPv6 int) string {
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(bitsOfIPv6); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// NetworkOf is [Network] for an address as text; it returns text that is no address unchanged.
func NetworkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	return Network(a)
}
