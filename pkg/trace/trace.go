// Package trace provides distributed tracing: the choice of the requests to trace, the transfer of
// a trace between processes (W3C Trace Context), and the export of spans over OTLP/HTTP. It is the
// only package that imports OpenTelemetry, and sets none of its globals. Start reading at New, then
// at Provider.Serve, which every request calls.
//
// Traces are off by default. The Provider is then nil and every Span zero; their methods do nothing
// and allocate nothing.
package trace

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// scope names this instrumentation in spans.
const scope = "github.com/realmgate/realmgate/pkg/trace"

// Provider makes the spans of one service.
type Provider struct {
	sdk    *sdk.TracerProvider
	tracer otel.Tracer
	kill   context.CancelFunc
	log    *slog.Logger
}

// stopTimeout bounds the last sending of spans at a stop.
const stopTimeout = 5 * time.Second

// New returns the provider of a service, nil when traces are off. Spans are sent in the background
// from a bounded queue: a request never waits for the collector, and spans that do not fit are
// dropped. The caller stops the provider. The error names the wrong setting.
func New(c Config, service, version string, log *slog.Logger, reg prometheus.Registerer) (*Provider, error) {
	if !c.on() {
		return nil, nil
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	life, kill := context.WithCancel(context.Background())
	to, err := newCollector(life, c)
	if err != nil {
		kill()
		return nil, err
	}
	sampler, err := c.sampler()
	if err != nil {
		kill()
		return nil, err
	}
	m := newMetrics(reg)
	// Every option is given, so that the SDK does not read it from the environment of the process.
	queue := sdk.NewBatchSpanProcessor(&exporter{
		to: otlptrace.NewUnstarted(to), log: log, metrics: m, told: rate.Sometimes{Interval: complainEvery},
	}, sdk.WithMaxQueueSize(c.QueueSize),
		sdk.WithMaxExportBatchSize(c.BatchSize), sdk.WithBatchTimeout(time.Duration(c.ScheduleDelay)*time.Millisecond),
		sdk.WithExportTimeout(c.timeout()))
	tp := sdk.NewTracerProvider(sdk.WithSampler(sampler), sdk.WithResource(c.resource(service, version)),
		sdk.WithRawSpanLimits(limits()),
		sdk.WithSpanProcessor(counting{queue, m.ended}))
	return &Provider{sdk: tp, tracer: tp.Tracer(scope, otel.WithInstrumentationVersion(version)), kill: kill, log: log},
		nil
}

// limits bounds the size of one span; the links must suffice for a batch of events.
func limits() sdk.SpanLimits {
	l := sdk.NewSpanLimits()
	l.AttributeValueLengthLimit, l.AttributeCountLimit, l.EventCountLimit, l.LinkCountLimit = 4096, 64, 64, 1000
	return l
}

func (c Config) resource(service, version string) *resource.Resource {
	attrs := []attribute.KeyValue{attribute.String("service.version", version)}
	for name, value := range c.Resource {
		attrs = append(attrs, attribute.String(name, value))
	}
	switch _, named := c.Resource["service.name"]; {
	case c.ServiceName != "":
		attrs = append(attrs, attribute.String("service.name", c.ServiceName))
	case !named:
		attrs = append(attrs, attribute.String("service.name", service))
	}
	return resource.NewSchemaless(attrs...) // the last attribute of a name counts
}

// Stop sends the remaining spans and ends the provider. An unreachable collector delays it for a
// few seconds at most, and is not an error.
func (p *Provider) Stop(ctx context.Context) error {
	if p == nil {
		return nil
	}
	defer p.kill()
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := p.sdk.Shutdown(ctx); err != nil {
		p.log.Warn("the last traces were not sent", "error", err.Error())
	}
	return nil
}

// ingressSampler follows the parent's decision inside of the installation, and makes its own
// decision for requests from outside. Otherwise clients could choose which traces are kept.
type ingressSampler struct{ internal, ingress sdk.Sampler }

type outsideKey struct{}

// ShouldSample is part of the SDK's Sampler.
func (s ingressSampler) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if p.ParentContext.Value(outsideKey{}) == nil {
		return s.internal.ShouldSample(p)
	}
	return s.ingress.ShouldSample(p)
}

// Description is part of the SDK's Sampler.
func (s ingressSampler) Description() string { return s.internal.Description() }

// ratioSampler keeps this share of traces at random. OpenTelemetry's own sampler decides by the
// trace's id, which a client may choose.
type ratioSampler float64

// ShouldSample is part of the SDK's Sampler.
func (s ratioSampler) ShouldSample(sdk.SamplingParameters) sdk.SamplingResult {
	if rand.Float64() < float64(s) {
		return sdk.SamplingResult{Decision: sdk.RecordAndSample}
	}
	return sdk.SamplingResult{Decision: sdk.Drop}
}

// Description is part of the SDK's Sampler.
func (s ratioSampler) Description() string { return "ratioSampler" }
