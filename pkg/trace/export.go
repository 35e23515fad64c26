package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"
)

// collector sends batches over OTLP/HTTP. OpenTelemetry's own client of that protocol brings gRPC
// along: the gateway's binary would grow from 21 to 36 MB, and each module by four dependencies.
type collector struct {
	url     string
	headers map[string]string
	timeout time.Duration
	http    *http.Client
	// life is the context of all requests; it ends when the process must stop.
	life context.Context
}

func newCollector(life context.Context, c Config) (*collector, error) {
	to, err := c.url()
	if err != nil {
		return nil, err
	}
	headers, err := c.headers()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, MaxIdleConns: 2,
		IdleConnTimeout: 90 * time.Second}
	return &collector{url: to, headers: headers, timeout: c.timeout(), life: life, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Start is part of otlptrace.Client.
func (c *collector) Start(context.Context) error { return nil }

// Stop is part of otlptrace.Client.
func (c *collector) Stop(context.Context) error { c.http.CloseIdleConnections(); return nil }

// UploadTraces sends one batch. Within the timeout it retries the failures that the specification
// of OTLP/HTTP calls retryable.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// TracesData has the same encoding as ExportTraceServiceRequest, whose package needs gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	_, err = backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, c.post(ctx, body) },
		backoff.WithMaxElapsedTime(c.timeout))
	return err
}

func (c *collector) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(err)
	}
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be reused
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
			return backoff.RetryAfter(s)
		}
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return nil
	default:
		return backoff.Permanent(fmt.Errorf("the collector answers %d", res.StatusCode))
	}
	return fmt.Errorf("the collector answers %d", res.StatusCode)
}

// complainEvery is the pause between log lines about a collector that is unreachable.
const complainEvery = time.Minute

// exporter counts exported and failed spans, and logs failures itself: OpenTelemetry's global error
// handler would write past the log.
type exporter struct {
	to      sdk.SpanExporter
	log     *slog.Logger
	metrics *metrics
	told    rate.Sometimes
}

// ExportSpans is part of the SDK's SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.to.ExportSpans(ctx, spans)
	if err == nil {
		e.metrics.exported.Add(float64(len(spans)))
		return nil
	}
	e.metrics.failed.Add(float64(len(spans)))
	e.told.Do(func() {
		var urlErr interface{ Unwrap() error } // its URL is left out, because it could hold a key
		reason := err
		for errors.As(reason, &urlErr) && urlErr.Unwrap() != nil {
			reason = urlErr.Unwrap()
		}
		e.log.Warn("traces cannot be sent and are lost", "spans", len(spans), "error", reason.Error())
	})
	return nil
}

// Shutdown is part of the SDK's SpanExporter.
func (e *exporter) Shutdown(ctx context.Context) error { return e.to.Shutdown(ctx) }

// counting counts the spans before they enter the queue, which drops spans when it is full.
type counting struct {
	sdk.SpanProcessor
	ended prometheus.Counter
}

// OnEnd is part of the SDK's SpanProcessor.
func (c counting) OnEnd(s sdk.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		c.ended.Inc()
	}
	c.SpanProcessor.OnEnd(s)
}

type metrics struct{ ended, exported, failed prometheus.Counter }

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		ended: counter("trace_spans_ended_total",
			"Spans to be sent to the collector; those that are neither exported nor failed wait or were dropped "+
				"from a full queue."),
		exported: counter("trace_spans_exported_total", "Spans that the collector took."),
		failed:   counter("trace_spans_failed_total", "Spans that were lost because the collector did not take them."),
	}
	if reg != nil {
		reg.MustRegister(m.ended, m.exported, m.failed)
	}
	return m
}
