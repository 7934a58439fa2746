package jobs

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// tracer makes the spans of an engine. Without a provider it makes none, at no cost.
type tracer struct {
	trace.Tracer
	on bool
}

func newTracer(p trace.TracerProvider) tracer {
	if p == nil {
		return tracer{noop.NewTracerProvider().Tracer(""), false}
	}
	return tracer{p.Tracer("github.com/outflow-db/outflow/jobs"), true}
}

// page begins the span of a page that was read from began on. It goes on with the trace of the page's changes if
// they have one in common; of several, it links to each.
func (t tracer) page(ctx context.Context, backend string, lane int, page *outbox.Page, began time.Time) (context.Context, trace.Span) {
	if !t.on {
		return ctx, trace.SpanFromContext(ctx)
	}
	options := []trace.SpanStartOption{
		trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("outflow.backend", backend), attribute.Int("outflow.lane", lane),
			attribute.Int("outflow.rows", page.Rows), attribute.Int("outflow.keys", page.Count())),
	}
	from := origins(page.Traces)
	if len(from) == 1 {
		return t.Start(trace.ContextWithRemoteSpanContext(ctx, from[0]), "project "+backend, options...)
	}
	for _, o := range from {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: o}))
	}
	return t.Start(ctx, "project "+backend, append(options, trace.WithNewRoot())...)
}

// request begins the span of a request to a store.
func (t tracer) request(ctx context.Context, backend string, p *plan, records int) (context.Context, trace.Span) {
	if !t.on {
		return ctx, trace.SpanFromContext(ctx)
	}
	return t.Start(ctx, "write "+backend, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("outflow.backend", backend), attribute.String("outflow.kind", p.Kind),
			attribute.String("outflow.target", p.target.Name), attribute.Int("outflow.records", records)))
}

// end ends a span of the tracer's, if there is one, with what went wrong.
func (t tracer) end(span trace.Span, err error) {
	if !t.on || span == nil {
		return
	}
	if err != nil {
		span.SetAttributes(attribute.String("error.type", string(backends.ClassOf(err))))
		span.SetStatus(codes.Error, storable(err.Error()))
	}
	span.End()
}

// origins are the spans that changes came from; what is no trace context is left out.
func origins(traces []outbox.Trace) []trace.SpanContext {
	var list []trace.SpanContext
	for _, t := range traces {
		carrier := propagation.MapCarrier{"traceparent": t.Parent, "tracestate": t.State}
		if sc := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier)); sc.IsValid() {
			list = append(list, sc)
		}
	}
	return list
}
