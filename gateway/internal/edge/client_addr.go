package edge

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/netaddr"
)

// Proxies are the peers whose X-Forwarded-For and X-Forwarded-Proto are believed.
type Proxies struct {
	trusted   []netip.Prefix
	log       *slog.Logger
	untrusted sync.Once // for the warning about an untrusted proxy
}

// NewProxies returns the proxies of TRUSTED_PROXIES.
func NewProxies(cfg Config, log *slog.Logger) (*Proxies, error) {
	trusted, err := netaddr.ParsePrefixes(cfg.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("TRUSTED_PROXIES: %w", err)
	}
	return &Proxies{trusted: trusted, log: log}, nil
}

// Trusted reports whether the peer is a trusted proxy.
func (p *Proxies) Trusted(peer net.Addr) bool {
	return len(p.trusted) > 0 && netaddr.Contains(p.trusted, netaddr.Peer(peer))
}

// ClientAddr returns the address of the client of a request. The first X-Forwarded-For of an
// untrusted peer is logged, because it may come from a proxy that TRUSTED_PROXIES lacks, whose
// clients then share one address in limits and logs. Any client can send one, so it is logged only
// once.
func (p *Proxies) ClientAddr(c *fiber.Ctx) netip.Addr {
	conn := c.Context().RemoteAddr()
	lines := c.Request().Header.PeekAll(fiber.HeaderXForwardedFor)
	if len(lines) == 0 {
		return netaddr.Peer(conn)
	}
	if !p.Trusted(conn) {
		peer := netaddr.Peer(conn)
		p.untrusted.Do(func() {
			p.log.Warn("X-Forwarded-For is ignored: if the peer is a proxy, add it to TRUSTED_PROXIES", "peer", peer.String())
		})
		return peer
	}
	forwarded := make([]string, len(lines))
	for i, line := range lines {
		forwarded[i] = string(line)
	}
	return clientAddr(conn, forwarded, p.trusted)
}

// clientAddr returns the address of the connection or, when a trusted proxy holds the connection,
// the last address in X-Forwarded-For, read from right to left, that no trusted proxy has. The
// entries left of it were written by the client and are not believed; neither is an entry that is
// no address. Empty elements of the list are ignored (RFC 9110, section 5.6.1).
func clientAddr(peer net.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	at := netaddr.Peer(peer)
	if len(trusted) == 0 || !netaddr.Contains(trusted, at) {
		return at
	}
	for i := len(forwarded) - 1; i >= 0; i-- {
		for rest, more := forwarded[i], true; more; {
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				entry, more = rest, false
			}
			if entry = strings.Trim(entry, " \t"); entry == "" {
				continue
			}
			next, ok := forwardedAddr(entry)
			if !ok {
				return at
			}
			if at = next; !netaddr.Contains(trusted, at) {
				return at
			}
		}
	}
	return at
}

// forwardedAddr reads one entry: an address, with or without a port.
func forwardedAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = withPort.Addr()
	}
	return a.Unmap().WithZone(""), true
}
