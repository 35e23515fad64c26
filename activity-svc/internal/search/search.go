// Package search provides the filters that the counts of the log cannot answer: a prefix of the
// path, addresses, a credential and a request id. Start reading at Read; Condition writes the SQL.
package search

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/input"
)

// Bounds of a search, which keep it from walking over a whole log.
const (
	// MaxTotal is the largest total. Records beyond it are not counted, nor on any page.
	MaxTotal = 10_000
	// MaxWalked is how many records of a log a search looks at, the newest ones in its range of
	// time.
	MaxWalked = 1_000_000
)

// maxPath is the longest prefix of a path, in characters.
const maxPath = event.MaxPath

// Filter selects records. Its zero value selects all of them.
type Filter struct {
	Path      string       // prefix of the recorded path; "" for every path
	Addresses netip.Prefix // of the client; not valid for every address
	AuthID    string       // raw id of a session or auth token; "" for all
	RequestID string       // "" for all
}

// Empty reports whether f selects all records.
func (f Filter) Empty() bool { return f == Filter{} }

// Read reads the parameters path, ip_address, auth_id and request_id, and records in q which of
// them are invalid.
func Read(q *input.Query) Filter {
	f := Filter{Path: q.Text("path", maxPath)}
	if text := q.Text("ip_address", maxAddress); text != "" {
		var ok bool
		if f.Addresses, ok = parseAddresses(text); !ok {
			q.Fail("ip_address", "must be an IPv4 or IPv6 address, or a range of them such as 192.0.2.0/24")
		}
	}
	if text := strings.ToLower(q.Text("auth_id", event.MaxRequestID)); text != "" {
		if !id.Valid(text) {
			q.Fail("auth_id", "must be 24 hexadecimal characters")
		}
		b, _ := hex.DecodeString(text)
		f.AuthID = string(b)
	}
	if f.RequestID = q.Text("request_id", event.MaxRequestID); strings.ContainsFunc(f.RequestID, notInRequestID) {
		q.Fail("request_id", "must be 1 to 128 characters of A-Z, a-z, 0-9, dot, underscore and hyphen")
	}
	return f
}

// maxAddress is longer than any spelling of a prefix.
const maxAddress = 64

// parseAddresses reads an address (RFC 4291, section 2.2, and dotted IPv4) or a prefix in CIDR
// notation (RFC 4632). An IPv4 address that is mapped into IPv6 is the IPv4 address. Bits after a
// prefix are ignored.
func parseAddresses(text string) (netip.Prefix, bool) {
	var p netip.Prefix
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		p = netip.PrefixFrom(addr, addr.BitLen())
	} else if p, err = netip.ParsePrefix(text); err != nil {
		return netip.Prefix{}, false
	}
	const mapped = 96 // bits before the IPv4 address
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), p.IsValid()
}

// notInRequestID reports whether r is in no request id; pkg/httpx replaces others.
func notInRequestID(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_.", r))
}

// Match reports whether f selects a record with these columns; authID is raw.
func (f Filter) Match(path, address, authID, requestID string) bool {
	return strings.HasPrefix(path, f.Path) && (f.RequestID == "" || f.RequestID == requestID) &&
		(f.AuthID == "" || f.AuthID == authID) && (!f.Addresses.IsValid() || f.contains(address))
}

func (f Filter) contains(address string) bool {
	addr, err := netip.ParseAddr(address)
	return err == nil && f.Addresses.Contains(addr.Unmap())
}
