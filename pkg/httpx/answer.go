package httpx

import (
	"bytes"
	"errors"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ascii"
)

const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
)

// OK answers 200 with the success envelope.
func OK(c *fiber.Ctx, message string, data any) error {
	return success(c, api.Success{StatusCode: http.StatusOK, Message: message, Data: data})
}

// Created answers 201 with the success envelope.
func Created(c *fiber.Ctx, message string, data any) error {
	return success(c, api.Success{StatusCode: http.StatusCreated, Message: message, Data: data})
}

// Paged answers 200 with one page of a list and its metadata.
func Paged(c *fiber.Ctx, message string, data any, page api.Page) error {
	return success(c, api.Success{StatusCode: http.StatusOK, Message: message, Data: data, Metadata: &page})
}

func success(c *fiber.Ctx, envelope api.Success) error {
	envelope.Warnings = Warnings(c)
	return write(c, typeJSON, envelope.StatusCode, envelope)
}

// JSON answers with v without an envelope, for internal routes and well-known documents.
func JSON(c *fiber.Ctx, status int, v any) error { return write(c, typeJSON, status, v) }

// NotFoundPage gives a page for people, which the handler has written, the status 404.
func NotFoundPage(c *fiber.Ctx) { c.Status(http.StatusNotFound) }

func write(c *fiber.Ctx, contentType string, status int, v any) error {
	body, err := api.Marshal(v)
	if err != nil {
		return err
	}
	c.Response().Header.SetContentType(contentType)
	c.Response().SetStatusCode(status)
	c.Response().SetBodyRaw(body)
	return nil
}

// fail writes the answer to an error. It is the only function that writes a status of 400 or more.
func (s *Server) fail(c *fiber.Ctx, err error) error {
	s.ensureRequestID(c)
	e := s.translate(c, err)
	status := e.Kind.Status()
	if e.Kind == apperr.Internal || (e.Kind == apperr.Unavailable && e.Unwrap() != nil) {
		s.logger(c).Error("request failed", "request_id", RequestID(c), "method", knownMethod(c.Method()), "route",
			RouteName(c),
			"status", status, "client_addr", clientAddr(c), "error", e.Error())
	}
	c.Response().ResetBody()
	dropStream(c)
	if e.RetryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	if e.Limit > 0 {
		c.Set("RateLimit-Limit", strconv.Itoa(e.Limit))
		c.Set("RateLimit-Remaining", "0")
		c.Set("RateLimit-Reset", c.GetRespHeader(fiber.HeaderRetryAfter))
	}
	if e.Allow != "" {
		c.Set(fiber.HeaderAllow, e.Allow)
	}
	if e.Kind == apperr.Unauthenticated {
		c.Set(fiber.HeaderWWWAuthenticate, "Bearer")
	}
	if e.Code == "PAYLOAD_TOO_LARGE" || e.Kind == apperr.HeadersTooLarge {
		lingerAfter(c)
	}
	if s.o.BeforeFailure != nil {
		s.o.BeforeFailure(c, status)
	}
	switch {
	case Accepts(c, typeProblem):
		return write(c, typeProblem, status, problem(c, e))
	case e.Page != "" && !Accepts(c, typeJSON):
		c.Response().Header.SetContentType(fiber.MIMETextHTMLCharsetUTF8)
		c.Response().SetStatusCode(status)
		c.Response().SetBodyString(e.Page)
		return nil
	}
	return write(c, typeJSON, status, failure(e))
}

// Accepts reports whether the Accept header (RFC 9110, section 12.5.1) names the media type, in
// lower case and without parameters, with a weight above 0. A range such as */* names no type.
func Accepts(c *fiber.Ctx, mediaType string) bool {
	// several header lines form one list (RFC 9110, section 5.3)
	return names(string(bytes.Join(c.Request().Header.PeekAll(fiber.HeaderAccept), []byte(","))), mediaType)
}

func names(accept, mediaType string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		if one = strings.TrimLeft(one, " \t"); len(one) < len(mediaType) ||
			!ascii.EqualFold(one[:len(mediaType)], mediaType) {
			continue // the parameters are not parsed, because a header has room for thousands of types
		}
		if media, params, err := mime.ParseMediaType(one); err == nil && media == mediaType {
			q, err := strconv.ParseFloat(params["q"], 64)
			return err != nil || q > 0
		}
	}
	return false
}

func failure(e *apperr.Error) api.Failure {
	f := api.Failure{StatusCode: e.Kind.Status(), Error: reason(e.Kind.Status()), Message: e.Message, Code: e.Code,
		Data: e.Data}
	if e.Violations != nil {
		f.Data = e.Violations
	}
	if e.CodeInError {
		f.Error = e.Code
	}
	return f
}

// reason returns the reason phrase of a status. For 413 it is that of RFC 7231, as in the source of
// the contract.
func reason(status int) string {
	if status == http.StatusRequestEntityTooLarge {
		return "Payload Too Large"
	}
	return http.StatusText(status)
}

func problem(c *fiber.Ctx, e *apperr.Error) api.Problem {
	return api.Problem{
		Type: "/docs/errors/" + e.Code, Title: reason(e.Kind.Status()), Status: e.Kind.Status(), Detail: e.Message,
		Instance: RequestID(c), Code: e.Code, Errors: e.Violations,
	}
}

// translate turns errors of Fiber and fasthttp, and errors that Classify knows, into the contract's
// errors.
func (s *Server) translate(c *fiber.Ctx, err error) *apperr.Error {
	if e, ok := errors.AsType[*apperr.Error](err); ok {
		return e
	}
	if fe, ok := errors.AsType[*fiber.Error](err); ok {
		return fromFiber(c, fe)
	}
	if small, ok := errors.AsType[*fasthttp.ErrSmallBuffer](err); ok {
		return apperr.Wrap(small, apperr.HeadersTooLarge, "HEADERS_TOO_LARGE", "Request headers are too large")
	}
	if s.o.Classify != nil {
		if e := s.o.Classify(err); e != nil {
			return e
		}
	}
	return apperr.From(err)
}

func fromFiber(c *fiber.Ctx, fe *fiber.Error) *apperr.Error {
	switch fe.Code {
	case http.StatusNotFound:
		return apperr.RouteNotFound()
	case http.StatusMethodNotAllowed:
		return MethodNotAllowed(string(c.Response().Header.Peek(fiber.HeaderAllow)))
	case http.StatusRequestEntityTooLarge:
		return apperr.PayloadTooLarge()
	case http.StatusRequestHeaderFieldsTooLarge:
		return apperr.New(apperr.HeadersTooLarge, "HEADERS_TOO_LARGE", "Request headers are too large")
	case http.StatusRequestTimeout:
		return requestTimeout(nil)
	}
	if fe.Code < http.StatusInternalServerError {
		return apperr.BadRequest(nil)
	}
	return apperr.From(fe)
}

func requestTimeout(cause error) *apperr.Error {
	return apperr.Wrap(cause, apperr.RequestTimeout, "REQUEST_TIMEOUT", "The request took too long to arrive")
}

// MethodNotAllowed is 405 METHOD_NOT_ALLOWED; allow lists the methods that the path takes.
func MethodNotAllowed(allow string) *apperr.Error {
	e := apperr.New(apperr.MethodNotAllowed, "METHOD_NOT_ALLOWED", "Method not allowed")
	e.Allow = allow
	return e
}
