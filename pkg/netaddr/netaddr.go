// Package netaddr owns the rules for IP addresses that gateway and services share: how address
// ranges are written, and which addresses are counted as one sender. Start reading at ParsePrefix.
package netaddr

import (
	"fmt"
	"net"
	"net/netip"
)

// ParsePrefix reads an address or a CIDR block (RFC 4632, RFC 4291) into its canonical form. An
// IPv4-mapped IPv6 address is the IPv4 address, because that is what a peer is seen as. An address
// with a zone is an error: the zone means nothing on another machine.
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

// ParsePrefixes is [ParsePrefix] for each entry of list; its error names the first that is none.
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

// Network returns what a sender is counted by: an IPv4 address itself, of an IPv6 address the /64
// network, all of whose addresses one host has.
func Network(a netip.Addr) string {
	return networkOf(a, 64)
}

// Site is [Network] with the /48 that a site gets, whose /64 networks would otherwise count as
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

// NetworkOf is [Network] of an address as text; text that is no address is returned as it is.
func NetworkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	return Network(a)
}
