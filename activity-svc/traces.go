package activity

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/trace"
)

// insertSpan is the name of the span in which an event is stored.
const insertSpan = "insert activity"

// startTrace begins the spans of a batch in which there are events of traced requests; finish ends
// them. The batch is stored together, so it has one span, with its statements inside of it: it
// stands in the trace of the first event and links to all of them. Every other event has a span of
// its own in its own trace, with a link to that of the batch.
func (c *consumer) startTrace(ctx context.Context, batch []bus.Message) (traced context.Context, finish func(error)) {
	if c.traces == nil {
		return ctx, func(error) {}
	}
	var events []string
	for _, m := range batch {
		if trace.Sampled(m.Traceparent) {
			events = append(events, m.Traceparent)
		}
	}
	if len(events) == 0 {
		return ctx, func(error) {}
	}
	start := time.Now()
	traced, whole := c.traces.Consume(ctx, insertSpan, start, events[0], events)
	whole.Text("messaging.system", "nats")
	whole.Number("messaging.batch.message_count", len(batch))
	return traced, func(err error) {
		spans := []trace.Span{whole}
		for _, e := range events[1:] {
			_, span := c.traces.Consume(ctx, insertSpan, start, e, []string{whole.Traceparent()})
			spans = append(spans, span)
		}
		for _, span := range spans {
			if err != nil {
				span.Fail("not stored; tried again")
			}
			span.End()
		}
	}
}
