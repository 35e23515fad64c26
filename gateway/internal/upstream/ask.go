package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/auth"
)

// ErrNotFound says that a service answered 404 to an internal request.
var ErrNotFound = errors.New("not found")

// internalRoute stands for the paths of internal requests in traces: the paths hold ids.
const internalRoute = "/internal"

// Ask makes an internal request as the gateway itself and decodes the answer into out, which may be
// nil. It waits until the deadline of ctx, or for the configured timeout if that is earlier; to
// cancel ctx before its deadline ends no request that is under way.
func (u *Upstream) Ask(ctx context.Context, method, path string, body []byte, out any) error {
	timeout, err := remaining(ctx, u.cfg.Timeout)
	if err != nil {
		return err
	}
	identity, err := u.sign()
	if err != nil {
		return err
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.Header.SetMethod(method)
	req.Header.SetRequestURI(path)
	req.Header.SetHost(u.host)
	req.UseHostHeader = true
	req.Header.Set(auth.IdentityHeader, identity)
	req.Header.Set(fasthttp.HeaderAccept, "application/json")
	if body != nil {
		req.Header.SetContentType("application/json")
		req.SetBodyRaw(body)
	}
	if err := u.Send(ctx, req, resp, Call{Route: internalRoute, Timeout: timeout}); err != nil {
		return err
	}
	switch status := resp.StatusCode(); {
	case status == fasthttp.StatusNotFound:
		return fmt.Errorf("%s %s: %w", u.name, method, ErrNotFound)
	case status == fasthttp.StatusUnauthorized:
		return u.IdentityRefused()
	case status >= 300 || status < 200:
		return fmt.Errorf("%s answers %d to an internal request", u.name, status)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(resp.Body(), out); err != nil {
		return fmt.Errorf("%s: internal answer: %w", u.name, err)
	}
	return nil
}

// remaining returns the time until the deadline of ctx, at most max; an error when there is none
// left.
func remaining(ctx context.Context, max time.Duration) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return max, nil
	}
	if max = min(max, time.Until(deadline)); max <= 0 {
		return 0, context.DeadlineExceeded
	}
	return max, nil
}

// IdentityRefused returns the error to log when the service rejects the gateway's identity.
func (u *Upstream) IdentityRefused() error {
	return fmt.Errorf("%s refuses this gateway's identity: the first of the gateway's INTERNAL_KEYS, if set, else of its keys "+
		"for %[1]s, must be among those of %[1]s, and both clocks right", u.name)
}
