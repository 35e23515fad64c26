package db

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/trace"
)

// tracer makes a span for every statement, batch and COPY of a request that is traced. A span holds
// the text of the statement, which stands in the source code, and never an argument. An error of
// pgx or PostgreSQL may quote an argument, so a span holds only its SQLSTATE.
type tracer struct {
	traces *trace.Provider
	schema string
}

// started is the context key of the span of one operation. The span has a key of its own, so that
// the end of an operation ends only its own span and none around it.
type started struct{}

func (t *tracer) start(ctx context.Context, operation, text string) context.Context {
	ctx, span := t.traces.Query(ctx, operation+" "+t.schema)
	if !span.Kept() {
		return ctx
	}
	span.Text("db.system.name", "postgresql")
	span.Text("db.namespace", t.schema)
	span.Text("db.operation.name", operation)
	if text != "" {
		span.Text("db.query.text", text)
	}
	return context.WithValue(ctx, started{}, span)
}

func end(ctx context.Context, err error) {
	span, ok := ctx.Value(started{}).(trace.Span)
	if !ok || span != trace.Current(ctx) {
		return
	}
	fail(span, err)
	span.End()
}

func fail(span trace.Span, err error) {
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return
	}
	reason := "no answer"
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		reason = pe.Code
		span.Text("db.response.status_code", pe.Code)
	}
	span.Fail(reason)
}

// operation returns the first word of a statement.
func operation(sql string) string {
	if words := strings.Fields(sql[:min(len(sql), 64)]); len(words) > 0 {
		return strings.ToUpper(strings.TrimSuffix(words[0], ";"))
	}
	return "QUERY"
}

// TraceQueryStart is part of pgx's QueryTracer.
func (t *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if !trace.Current(ctx).Kept() {
		return ctx
	}
	return t.start(ctx, operation(d.SQL), strings.Join(strings.Fields(d.SQL), " "))
}

// TraceQueryEnd is part of pgx's QueryTracer.
func (t *tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	end(ctx, d.Err)
}

// TraceBatchStart is part of pgx's BatchTracer.
func (t *tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	ctx = t.start(ctx, "BATCH", "")
	if d.Batch != nil {
		trace.Current(ctx).Number("db.operation.batch.size", d.Batch.Len())
	}
	return ctx
}

// TraceBatchQuery is part of pgx's BatchTracer. All statements of a batch share one span, which
// fails with the first statement that fails.
func (t *tracer) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	if span, ok := ctx.Value(started{}).(trace.Span); ok && span == trace.Current(ctx) {
		fail(span, d.Err)
	}
}

// TraceBatchEnd is part of pgx's BatchTracer.
func (t *tracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchEndData) {
	end(ctx, d.Err)
}

// TraceCopyFromStart is part of pgx's CopyFromTracer.
func (t *tracer) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceCopyFromStartData) context.Context {
	return t.start(ctx, "COPY", "COPY "+strings.Join(d.TableName, "."))
}

// TraceCopyFromEnd is part of pgx's CopyFromTracer.
func (t *tracer) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceCopyFromEndData) {
	end(ctx, d.Err)
}
