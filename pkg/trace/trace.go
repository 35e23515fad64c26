// Package trace owns traces: which requests are traced, how a trace goes from process to process
// (W3C Trace Context), and how spans reach a collector over OTLP/HTTP. It is the only package that
// imports OpenTelemetry, and sets none of its globals. Start reading at New, then at
// Provider.Serve, which every request comes through.
//
// Traces are off by default. A nil Provider and a zero Span are what "off" is: all their methods do
// nothing and allocate nothing.
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
// from a bounded queue: a request never waits for the collector, and what does not fit is dropped.
// The caller stops it. The error says which setting is wrong.
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
	// Every option is given, so that the SDK does not look for it in the environment of the
	// process.
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

// limits bounds what one span may hold; a batch of events links to as many spans.
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
	return resource.NewSchemaless(attrs...) // the last of a name counts
}

// Stop sends what is left and ends the provider; a collector that is away holds the stop up for a
// few seconds at most, and is no failure of it.
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

// edgeSampler follows the parent's decision inside of the installation, and decides by itself about
// what comes from outside: else every client could choose what is kept.
type edgeSampler struct{ inside, edge sdk.Sampler }

type outsideKey struct{}

// ShouldSample is part of the SDK's Sampler.
func (s edgeSampler) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if p.ParentContext.Value(outsideKey{}) == nil {
		return s.inside.ShouldSample(p)
	}
	return s.edge.ShouldSample(p)
}

// Description is part of the SDK's Sampler.
func (s edgeSampler) Description() string { return s.inside.Description() }

// lot keeps this share of traces by drawing lots. OpenTelemetry's own sampler compares the trace's
// id, which a client may choose.
type lot float64

// ShouldSample is part of the SDK's Sampler.
func (l lot) ShouldSample(sdk.SamplingParameters) sdk.SamplingResult {
	if rand.Float64() < float64(l) {
		return sdk.SamplingResult{Decision: sdk.RecordAndSample}
	}
	return sdk.SamplingResult{Decision: sdk.Drop}
}

// Description is part of the SDK's Sampler.
func (l lot) Description() string { return "lot" }
