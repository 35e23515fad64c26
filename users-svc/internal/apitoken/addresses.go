package apitoken

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// addressList lists the networks from which a token may be used. An empty list allows all, and its
// JSON is ["*"].
type addressList []netip.Prefix

// anyAddress is the entry with which clients allow every address.
const anyAddress = "*"

// parseAddresses parses IPv4 and IPv6 addresses and CIDR prefixes (RFC 4632, RFC 4291), and returns
// them in canonical form without duplicates. One "*" among them makes the list empty; false when an
// entry is invalid.
func parseAddresses(entries []string) (addressList, bool) {
	var list addressList
	everywhere := false
	for _, entry := range entries {
		entry = strings.TrimSpace(entry)
		if entry == anyAddress {
			everywhere = true
			continue
		}
		p, err := netaddr.ParsePrefix(entry)
		if err != nil {
			return nil, false
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	if everywhere {
		return nil, true
	}
	return list, true
}

// strings returns the entries as text, single addresses without a prefix length.
func (list addressList) strings() []string {
	texts := make([]string, 0, len(list))
	for _, p := range list {
		if p.IsSingleIP() {
			texts = append(texts, p.Addr().String())
		} else {
			texts = append(texts, p.String())
		}
	}
	return texts
}

// MarshalJSON returns the list as an array of strings, ["*"] for an empty list.
func (list addressList) MarshalJSON() ([]byte, error) {
	if len(list) == 0 {
		return api.Marshal([]string{anyAddress})
	}
	return api.Marshal(list.strings())
}
