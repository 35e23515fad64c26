// Package edge provides the checks that a request must pass before it is routed: its framing, path
// and host. It also decides which proxies are trusted, which address a client has, and which
// scripts of other origins may call (CORS). Start reading at CheckRequest, CheckPath and
// Proxies.ClientAddr.
package edge

import (
	"bytes"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ascii"
)

// maxTarget bounds the request target, path and query together.
const maxTarget = 8 << 10

// CheckRequest refuses requests that two HTTP implementations could read differently (RFC 9112,
// sections 3.2, 5.2 and 6.3). fasthttp has already refused a second Content-Length, a second Host
// and malformed lines.
func CheckRequest(h *fasthttp.RequestHeader) error {
	target := h.RequestURI()
	switch {
	case len(target) > maxTarget:
		return apperr.New(apperr.URITooLong, "URI_TOO_LONG", "Request target is too long")
	case len(target) == 0 || target[0] != '/': // authority-form, *, absolute-form of another host
		return apperr.BadRequest(nil)
	case !validHost(h.Host()) && (len(h.Host()) > 0 ||
		string(h.Protocol()) != "HTTP/1.0"): // a probe of HTTP/1.0 may have no host
		return apperr.BadRequest(nil)
	case bytes.IndexByte(target, '#') >= 0:
		return apperr.BadRequest(nil)
	case !bytes.HasPrefix(h.Protocol(), []byte("HTTP/1.")):
		return apperr.BadRequest(nil)
	}
	return checkHeaderLines(h.RawHeaders())
}

// checkHeaderLines reads the header block as it was sent, because fasthttp accepts too much: it
// joins folded lines, takes names with a space and lines without a CR, which can hide a second
// request, and drops a Content-Length beside a Transfer-Encoding and a Transfer-Encoding of
// identity.
func checkHeaderLines(raw []byte) error {
	length, encoded := false, false
	for line := range bytes.Lines(raw) {
		if colon := bytes.IndexByte(line, ':'); colon >= 0 && bytes.IndexByte(line[:colon], ' ') >= 0 {
			return apperr.BadRequest(nil)
		}
		if bytes.HasSuffix(line, []byte("\n")) && !bytes.HasSuffix(line, []byte("\r\n")) {
			return apperr.BadRequest(nil)
		}
		switch line[0] {
		case ' ', '\t': // obs-fold
			return apperr.BadRequest(nil)
		case 'c', 'C':
			length = length || isHeader(line, fiber.HeaderContentLength)
		case 't', 'T':
			if isHeader(line, fiber.HeaderTransferEncoding) {
				if encoded || !ascii.EqualFold(headerValue(line), "chunked") {
					return apperr.BadRequest(nil)
				}
				encoded = true
			}
		}
	}
	if length && encoded {
		return apperr.BadRequest(nil)
	}
	return nil
}

func isHeader(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && ascii.EqualFold(line[:len(name)], name)
}

// headerValue returns a header's value without surrounding spaces and tabs.
func headerValue(line []byte) []byte {
	_, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\r\n")), []byte(":"))
	return bytes.Trim(value, " \t")
}

// SplitTarget cuts a request target into its path and its query.
func SplitTarget(target []byte) (path, query []byte) {
	path, query, _ = bytes.Cut(target, []byte("?"))
	return path, query
}
