package gateway

import (
	"bytes"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ascii"
)

// maxTarget bounds the request target, path and query together.
const maxTarget = 8 << 10

// checkRequest refuses what two HTTP implementations could read differently (RFC 9112, sections 3.2, 5.2 and 6.3), before anything is routed.
// fasthttp has already refused a second Content-Length, a second Host and malformed lines.
func checkRequest(h *fasthttp.RequestHeader) error {
	target := h.RequestURI()
	switch {
	case len(target) > maxTarget:
		return apperr.New(apperr.URITooLong, "URI_TOO_LONG", "Request target is too long")
	case len(target) == 0 || target[0] != '/': // authority-form, *, absolute-form of another host
		return badRequest()
	case !saneHost(h.Host()) && (len(h.Host()) > 0 || string(h.Protocol()) != "HTTP/1.0"): // a probe of HTTP/1.0 may have none
		return badRequest()
	case bytes.IndexByte(target, '#') >= 0:
		return badRequest()
	case !bytes.HasPrefix(h.Protocol(), []byte("HTTP/1.")):
		return badRequest()
	}
	return checkHeaderLines(h.RawHeaders())
}

// checkHeaderLines reads the block as it came over the wire, because fasthttp joins folded lines, takes names with a space in them and lines
// that end without a CR, so that two requests could stand where others see one, and forgets a Content-Length beside a Transfer-Encoding and a
// Transfer-Encoding of identity.
func checkHeaderLines(raw []byte) error {
	length, encoded := false, false
	for line := range bytes.Lines(raw) {
		if colon := bytes.IndexByte(line, ':'); colon >= 0 && bytes.IndexByte(line[:colon], ' ') >= 0 {
			return badRequest()
		}
		if bytes.HasSuffix(line, []byte("\n")) && !bytes.HasSuffix(line, []byte("\r\n")) {
			return badRequest()
		}
		switch line[0] {
		case ' ', '\t': // obs-fold
			return badRequest()
		case 'c', 'C':
			length = length || isHeader(line, fiber.HeaderContentLength)
		case 't', 'T':
			if isHeader(line, fiber.HeaderTransferEncoding) {
				if encoded || !ascii.EqualFold(headerValue(line), "chunked") {
					return badRequest()
				}
				encoded = true
			}
		}
	}
	if length && encoded {
		return badRequest()
	}
	return nil
}

func isHeader(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && ascii.EqualFold(line[:len(name)], name)
}

// headerValue returns a header's value without the blanks around it, which are spaces and tabs only.
func headerValue(line []byte) []byte {
	_, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\r\n")), []byte(":"))
	return bytes.Trim(value, " \t")
}

func badRequest() error {
	return apperr.New(apperr.Invalid, "BAD_REQUEST", "Malformed HTTP request")
}

// splitTarget cuts a request target into its path and its query.
func splitTarget(target []byte) (path, query []byte) {
	path, query, _ = bytes.Cut(target, []byte("?"))
	return path, query
}

// What checkPath found.
type pathFault uint8

const (
	pathFine      pathFault = iota
	pathAmbiguous           // servers disagree about what it names
	pathOddKey              // only its last segment holds what no segment may hold: a wrong vault key on routes that end in one
)

// checkPath looks at the raw path, the very bytes that are routed and forwarded: no empty segment but the last, no "." or "..", plain or
// encoded, no backslash, nothing encoded that could become a separator or a NUL, and no broken encoding.
func checkPath(path []byte) pathFault {
	last := bytes.LastIndexByte(path, '/')
	for start := 1; start <= len(path); {
		end := bytes.IndexByte(path[start:], '/')
		if end < 0 {
			end = len(path)
		} else {
			end += start
		}
		final := start == last+1
		switch fault := checkSegment(path[start:end], final); fault {
		case pathFine:
		case pathOddKey:
			return pathOddKey
		default:
			return pathAmbiguous
		}
		start = end + 1
	}
	return pathFine
}

func checkSegment(s []byte, final bool) pathFault {
	if len(s) == 0 && !final {
		return pathAmbiguous
	}
	dots, odd := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			return pathAmbiguous
		case c == '%':
			hi, lo := -1, -1
			if i+2 < len(s) {
				hi, lo = unhex(s[i+1]), unhex(s[i+2])
			}
			if hi < 0 || lo < 0 {
				odd = true
				continue
			}
			if c = byte(hi<<4 | lo); c == '/' || c == '\\' || c == 0 {
				odd = true
			}
			i += 2
		}
		if c == '.' {
			dots++
		} else {
			dots = 3
		}
	}
	switch {
	case dots == 1 || dots == 2:
		return pathAmbiguous
	case odd && final:
		return pathOddKey
	case odd:
		return pathAmbiguous
	}
	return pathFine
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
