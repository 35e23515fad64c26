package edge

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/ascii"
)

// ToOriginForm rewrites a target in absolute-form, which clients of a proxy send and servers must
// accept (RFC 9112, section 3.2.2), to origin-form. A target whose authority differs from the Host
// header stays as it is, because proxies and servers disagree about which of the two counts.
func ToOriginForm(h *fasthttp.RequestHeader) {
	target := h.RequestURI()
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || bytes.IndexByte(scheme, '/') >= 0 {
		return
	}
	var port []byte // the default of the scheme
	switch {
	case ascii.EqualFold(scheme, "http"):
		port = []byte(":80")
	case ascii.EqualFold(scheme, "https"):
		port = []byte(":443")
	default:
		return
	}
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, host := bytes.TrimSuffix(rest[:end], port), bytes.TrimSuffix(h.Host(), port)
	if len(authority) == 0 || !ascii.EqualFold(authority, host) {
		return
	}
	path := rest[end:]
	if len(path) == 0 || path[0] != '/' {
		path = append([]byte("/"), path...)
	}
	h.SetRequestURIBytes(path)
}
