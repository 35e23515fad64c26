package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/auth"
)

// roleFlag makes this program one of the small servers below, so that they can be measured in
// separate processes.
const roleFlag = "-role"

// upstreamConns limits the connections of the forwarders in this file to their upstream. The other
// peers get the same limit.
const upstreamConns = 512

// playRole serves until the process is killed. args are the role, the address to listen on and, for
// forwarders, the address of the upstream.
func playRole(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("%s needs a role and an address", roleFlag)
	}
	role, addr, upstream := args[0], args[1], append(args[2:], "")[0]
	switch role {
	case "upstream":
		handler, err := fixedAnswer(fixedBody())
		if err != nil {
			return err
		}
		return (&fasthttp.Server{Handler: handler, NoDefaultServerHeader: true}).ListenAndServe(addr)
	case "reverseproxy":
		return serveReverseProxy(addr, upstream)
	case "bare":
		return serveBare(addr, upstream)
	case "pgselect":
		return serveSelect(addr, upstream)
	}
	return fmt.Errorf("no role %q", role)
}

// fixedBody is the answer of the forwarding rows' upstream: 1 KB of JSON in our envelope.
func fixedBody() []byte {
	const head, tail = `{"statusCode":200,"message":"Vault key retrieved successfully","data":{"value":"`, `"}}`
	return []byte(head + strings.Repeat("x", 1024-len(head)-len(tail)) + tail)
}

// fixedAnswer answers every request with body. A request for the key set gets one, because a
// gateway that uses this server as users-svc needs it to become ready.
func fixedAnswer(body []byte) (fasthttp.RequestHandler, error) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	keys, err := json.Marshal(auth.JWKS{Keys: []auth.JWK{auth.NewJWK("bench", public)}})
	return func(c *fasthttp.RequestCtx) {
		c.SetContentType("application/json")
		if string(c.Path()) == "/.well-known/jwks.json" {
			c.SetBody(keys)
			return
		}
		c.SetBody(body)
	}, err
}

// serveReverseProxy runs net/http/httputil's proxy as documented, with enough kept connections.
func serveReverseProxy(addr, upstream string) error {
	target := &url.URL{Scheme: "http", Host: upstream}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConns: upstreamConns, MaxIdleConnsPerHost: upstreamConns,
			DisableCompression: true},
	}
	return (&http.Server{Addr: addr, Handler: proxy, ReadHeaderTimeout: time.Minute}).ListenAndServe()
}

// serveBare is the baseline of the gateway: a forwarder without any checks, made of the same
// libraries (Fiber, fasthttp's HostClient) with the same limits.
func serveBare(addr, upstream string) error {
	client := &fasthttp.HostClient{
		Addr: upstream, MaxConns: upstreamConns, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		MaxIdleConnDuration:       time.Minute,
		MaxIdemponentCallAttempts: 1, NoDefaultUserAgentHeader: true, DisableHeaderNamesNormalizing: true,
		DisablePathNormalizing: true,
	}
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true, StrictRouting: true, CaseSensitive: true, ReadBufferSize: 16 << 10,
		ReadTimeout:  time.Minute,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
	})
	app.Use(func(c *fiber.Ctx) error {
		c.Request().Header.Del(fiber.HeaderConnection)
		if err := client.Do(c.Request(), c.Response()); err != nil {
			return fiber.NewError(fiber.StatusBadGateway)
		}
		c.Response().Header.Del(fiber.HeaderConnection)
		return nil
	})
	return app.Listen(addr)
}
