package trace

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	otel "go.opentelemetry.io/otel/trace"
)

// Header is the name of the header, of HTTP and of NATS, that carries a span to the next process.
const Header = "traceparent"

// Span is the record of one operation. The zero Span does nothing.
type Span struct{ s otel.Span }

// Serve begins the span of a request that this process answers. parent is the caller's traceparent,
// "" for none; a malformed one is ignored. outside means that the caller does not belong to the
// installation: its trace is continued, but this process decides whether to keep it.
func (p *Provider) Serve(ctx context.Context, name, parent string, outside bool) (context.Context, Span) {
	if p == nil {
		return ctx, Span{}
	}
	at := ctx
	if sc := parse(parent); sc.IsValid() {
		at = otel.ContextWithRemoteSpanContext(at, sc)
	}
	if outside {
		at = context.WithValue(at, outsideKey{}, true)
	}
	_, span := p.tracer.Start(at, name, otel.WithSpanKind(otel.SpanKindServer))
	return otel.ContextWithSpan(ctx, span), Span{span} // not at: child spans follow this span's decision
}

// Call begins the span of a request to another service, when ctx belongs to a trace.
func (p *Provider) Call(ctx context.Context, name string) (context.Context, Span) {
	if p == nil || !otel.SpanContextFromContext(ctx).IsValid() {
		return ctx, Span{}
	}
	ctx, span := p.tracer.Start(ctx, name, otel.WithSpanKind(otel.SpanKindClient))
	return ctx, Span{span}
}

// Query begins the span of a statement, when ctx belongs to a trace that is kept.
func (p *Provider) Query(ctx context.Context, name string) (context.Context, Span) {
	if p == nil || !otel.SpanFromContext(ctx).IsRecording() {
		return ctx, Span{}
	}
	options := []otel.SpanStartOption{otel.WithSpanKind(otel.SpanKindClient)}
	if b, ok := ctx.Value(sharedKey{}).(shared); ok {
		options = append(options, otel.WithLinks(b.links...),
			otel.WithAttributes(attribute.Int("realmgate.batch.size", b.requests)))
	}
	ctx, span := p.tracer.Start(ctx, name, options...)
	return ctx, Span{span}
}

// sharedKey is the context key of a shared.
type sharedKey struct{}

// shared describes the requests that share one statement.
type shared struct {
	requests int
	links    []otel.Link
}

// Shared returns a context for a statement that the requests with these contexts share. The
// statement's span is a child of the first traced request, links to the other traced requests, and
// has the number of requests as realmgate.batch.size. The context's other values and its end are
// those of that first request; without a traced request it is the first context.
func Shared(requests []context.Context) context.Context {
	first := slices.IndexFunc(requests, func(ctx context.Context) bool { return Current(ctx).Kept() })
	if first < 0 || len(requests) == 1 {
		return requests[0]
	}
	s := shared{requests: len(requests)}
	for _, ctx := range requests[first+1:] {
		if span := Current(ctx); span.Kept() {
			s.links = append(s.links, otel.Link{SpanContext: span.s.SpanContext()})
		}
	}
	return context.WithValue(requests[first], sharedKey{}, s)
}

// Consume begins a span for the processing of messages. It starts at start, belongs to the trace of
// parent, a traceparent, and links to all of linked.
func (p *Provider) Consume(ctx context.Context, name string, start time.Time, parent string,
	linked []string) (context.Context, Span) {
	if p == nil {
		return ctx, Span{}
	}
	if sc := parse(parent); sc.IsValid() {
		ctx = otel.ContextWithRemoteSpanContext(ctx, sc)
	}
	links := make([]otel.Link, 0, len(linked))
	for _, l := range linked {
		if sc := parse(l); sc.IsValid() {
			links = append(links, otel.Link{SpanContext: sc})
		}
	}
	ctx, span := p.tracer.Start(ctx, name, otel.WithSpanKind(otel.SpanKindConsumer), otel.WithLinks(links...),
		otel.WithTimestamp(start))
	return ctx, Span{span}
}

// Current returns the span of ctx; the zero Span when there is none.
func Current(ctx context.Context) Span {
	if s := otel.SpanFromContext(ctx); s.SpanContext().IsValid() {
		return Span{s}
	}
	return Span{}
}

// ID returns the id of ctx's trace in the form of log lines, "" when there is none.
func ID(ctx context.Context) string {
	if sc := otel.SpanContextFromContext(ctx); sc.IsValid() {
		return sc.TraceID().String()
	}
	return ""
}

// Kept reports whether the span is recorded and will be sent.
func (s Span) Kept() bool { return s.s != nil && s.s.IsRecording() }

// Name gives the span its final name: a route template, never a path.
func (s Span) Name(name string) {
	if s.s != nil {
		s.s.SetName(name)
	}
}

// Text adds an attribute. The value must not be a text that a client chose.
func (s Span) Text(name, value string) {
	if s.s != nil {
		s.s.SetAttributes(attribute.String(name, value))
	}
}

// Number adds an attribute.
func (s Span) Number(name string, value int) {
	if s.s != nil {
		s.s.SetAttributes(attribute.Int(name, value))
	}
}

// Fail marks the span as failed; reason is a fixed text or a code.
func (s Span) Fail(reason string) {
	if s.s != nil {
		s.s.SetStatus(codes.Error, reason)
	}
}

// End ends the span.
func (s Span) End() {
	if s.s != nil {
		s.s.End()
	}
}

// Traceparent returns the span in the form in which Header carries it to the next process, "" when
// there is none.
func (s Span) Traceparent() string {
	if s.s == nil {
		return ""
	}
	c := carrier{}
	propagation.TraceContext{}.Inject(otel.ContextWithSpan(context.Background(), s.s), &c)
	return c.parent
}

// Sampled reports whether a traceparent is well formed and has the sampled flag.
func Sampled(traceparent string) bool { return parse(traceparent).IsSampled() }

func parse(traceparent string) otel.SpanContext {
	if traceparent == "" {
		return otel.SpanContext{}
	}
	return otel.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), &carrier{traceparent}))
}

// carrier holds a traceparent. It drops tracestate and baggage, because clients choose their texts
// and no code reads them.
type carrier struct{ parent string }

// Get is part of OpenTelemetry's TextMapCarrier.
func (c *carrier) Get(name string) string {
	if name == Header {
		return c.parent
	}
	return ""
}

// Set is part of OpenTelemetry's TextMapCarrier.
func (c *carrier) Set(name, value string) {
	if name == Header {
		c.parent = value
	}
}

// Keys is part of OpenTelemetry's TextMapCarrier.
func (c *carrier) Keys() []string { return []string{Header} }
