package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// provider is a service at which people sign in.
type provider interface {
	// authURL returns the address of the provider's sign-in page. An error means that the provider
	// cannot be reached.
	authURL(ctx context.Context, flow secretsOf) (string, error)
	// claims exchanges the code of a callback for what the provider says about the user. answer are
	// the parameters of the callback.
	claims(ctx context.Context, answer callbackAnswer, flow secretsOf) (claims, error)
}

// claims are the statements of a provider about a user.
type claims struct {
	Issuer, Subject string // identify the user for ever
	Email           string
	EmailVerified   bool
	Name            string
}

// callbackAnswer holds the parameters of a callback (RFC 6749 section 4.1.2, RFC 9207).
type callbackAnswer struct{ Code, Error, Issuer string }

// secretsOf holds the secrets of one sign-in. The state is in the address of the callback and the
// browser key in a cookie; nonce and verifier are derived from both, so that the database needs to
// store none of them.
type secretsOf struct{ state, browser string }

// nonce returns the value that the ID token must repeat (OpenID Connect Core, section 3.1.2.1).
func (s secretsOf) nonce() string { return s.derive("nonce") }

// verifier returns the code verifier for the provider (RFC 7636, section 4.1).
func (s secretsOf) verifier() string { return s.derive("verifier") }

func (s secretsOf) derive(purpose string) string {
	mac := hmac.New(sha256.New, []byte(s.browser))
	mac.Write([]byte(purpose + "\x00" + s.state))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// errUnreachable reports that a provider does not answer, or answers that it cannot.
var errUnreachable = errors.New("the provider is not available")

const (
	providerTimeout = 5 * time.Second // of one request to a provider
	maxAnswer       = 1 << 20         // bytes of a provider's answer that are read
	// maxRequests bounds the requests to providers at the same time, so that a provider which
	// accepts connections and never answers occupies few of the gateway's.
	maxRequests = 64
)

// newClient returns the client for requests to providers. Connections are not kept, because
// sign-ins are rare.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	return &http.Client{Timeout: providerTimeout,
		Transport: guardedTransport{transport, semaphore.NewWeighted(maxRequests)}}
}

// guardedTransport sends requests over TLS or to this machine only, also after redirects and to the
// endpoints that an issuer publishes. It bounds answers, and notes outages in the context.
type guardedTransport struct {
	next  http.RoundTripper
	slots *semaphore.Weighted
}

// RoundTrip implements http.RoundTripper.
func (t guardedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !secure(req.URL) {
		return nil, fmt.Errorf("%s is not https", req.URL.Redacted())
	}
	var res *http.Response
	err := errors.New("too many requests to providers wait for an answer")
	if t.slots.TryAcquire(1) {
		res, err = t.next.RoundTrip(req)
		t.slots.Release(1)
	}
	if outage, ok := req.Context().Value(outageKey{}).(*atomic.Bool); ok && (err != nil || res.StatusCode >= 500) {
		outage.Store(true)
	}
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}

type outageKey struct{}

// noting runs f with a context in which requests note outages. An error of f that follows an outage
// becomes errUnreachable with f's error as its text.
func noting(ctx context.Context, f func(context.Context) error) error {
	var outage atomic.Bool
	err := f(context.WithValue(ctx, outageKey{}, &outage))
	if err != nil && outage.Load() {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return err
}
