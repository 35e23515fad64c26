package search

import (
	"fmt"
	"net/netip"
)

// Columns are the columns of activity that Condition reads.
const Columns = `path, ip_address, auth_id, request_id`

// addressIn is the condition that the address of a record is in one of the prefixes %s. An address
// with a zone is in none (RFC 4007, section 11), and is no inet.
const addressIn = ` AND CASE WHEN ip_address = '' OR strpos(ip_address, '%%') > 0 THEN false
	ELSE ip_address::inet <<= ANY($%d::text[]::inet[]) END`

// Condition returns the condition of f on rows of activity, which begins with AND unless it is "",
// and args with its arguments added.
func (f Filter) Condition(args []any) (condition string, all []any) {
	add := func(sql string, value any) {
		args = append(args, value)
		condition += fmt.Sprintf(sql, len(args))
	}
	if f.RequestID != "" {
		add(` AND request_id = $%d`, f.RequestID)
	}
	if f.AuthID != "" {
		add(` AND auth_id = $%d`, []byte(f.AuthID))
	}
	if f.Path != "" {
		add(` AND starts_with(path, $%d)`, f.Path)
	}
	if f.Addresses.IsValid() {
		add(addressIn, f.spellings())
	}
	return condition, args
}

// spellings returns the prefixes as they may be recorded: IPv4 also as mapped into IPv6.
func (f Filter) spellings() []string {
	out := []string{f.Addresses.String()}
	if addr := f.Addresses.Addr(); addr.Is4() {
		const mapped = 96 // bits before the IPv4 address
		out = append(out, netip.PrefixFrom(netip.AddrFrom16(addr.As16()), mapped+f.Addresses.Bits()).String())
	}
	return out
}
