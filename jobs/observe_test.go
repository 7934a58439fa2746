package jobs_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// seen is an observer that adds up what it is told.
type seen struct {
	mu       sync.Mutex
	requests []jobs.Request
	sum      jobs.Output
}

func (s *seen) Wrote(r jobs.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

func (s *seen) Worked(_ string, _ int, o jobs.Output) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Written, s.sum.Deleted, s.sum.Parked, s.sum.Retries = s.sum.Written+o.Written, s.sum.Deleted+o.Deleted, s.sum.Parked+o.Parked, s.sum.Retries+o.Retries
}

// An observer is told of every request, and of every record what came of it, each once, by the end of the engine.
func TestObserverSeesAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := &seen{}
	w.c.Observer = o
	w.store.refuse = func(r backends.Record) *backends.Error {
		if r.Key == "13" {
			return fails(backends.Rejected)
		}
		return nil
	}
	w.store.onWrite = func(_ context.Context, n int, _ []backends.Record) error {
		if n == 1 {
			return fails(backends.Transient)
		}
		return nil
	}
	w.exec(rows(20))
	_, stop := w.start()
	w.drained()
	w.applied(`delete from item where id = 7`)
	stop()
	if want := (jobs.Output{Written: 19, Deleted: 1, Parked: 1, Retries: 1}); o.sum != want {
		t.Errorf("told of %+v, want %+v", o.sum, want)
	}
	first := o.requests[0]
	first.Took = 0
	if diff := cmp.Diff(jobs.Request{Backend: "main", Kind: "item", Target: "items", Records: 20, Class: backends.Transient}, first); diff != "" {
		t.Error(diff)
	}
	if n := slices.IndexFunc(o.requests[1:], func(r jobs.Request) bool { return r.Class != "" || r.Took <= 0 }); n >= 0 {
		t.Errorf("a later request: %+v", o.requests[n+1])
	}
}

// recorded is a provider whose ended spans a test looks at.
func recorded(t *testing.T) (*sdk.TracerProvider, *tracetest.InMemoryExporter) {
	t.Helper()
	out := tracetest.NewInMemoryExporter()
	p := sdk.NewTracerProvider(sdk.WithSyncer(out))
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return p, out
}

// traceOf is a trace context of its own for a number.
func traceOf(n byte) (header string, id trace.TraceID) {
	id = trace.TraceID{15: n}
	return "00-" + id.String() + "-" + trace.SpanID{7: n}.String() + "-01", id
}

// changeIn changes rows in a transaction that belongs to a trace.
func (w *world) changeIn(header, sql string) {
	w.t.Helper()
	err := pgx.BeginFunc(w.t.Context(), w.pool, func(tx pgx.Tx) error {
		if err := outbox.SetHeaders(w.t.Context(), tx, map[string]string{"traceparent": header}); err != nil {
			return err
		}
		_, err := tx.Exec(w.t.Context(), sql)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// The trace of a transaction goes on in the page that carries its changes and in the request to the store, whose
// context has it.
func TestTraceGoesOnToTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	provider, out := recorded(t)
	w.c.Tracing = provider
	header, id := traceOf(1)
	sent := make(chan trace.TraceID, 10)
	w.store.onWrite = func(ctx context.Context, _ int, _ []backends.Record) error {
		sent <- trace.SpanContextFromContext(ctx).TraceID()
		return nil
	}
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	_, stop := w.run()
	w.drained()
	w.changeIn(header, rows(3))
	w.drained()
	stop()
	if got := <-sent; got != id {
		t.Errorf("the store was written to in trace %s, want %s", got, id)
	}
	spans := out.GetSpans()
	page, write := named(t, spans, "project main", id), named(t, spans, "write main", id)
	if write.Parent.SpanID() != page.SpanContext.SpanID() || page.Parent.SpanID() != (trace.SpanID{7: 1}) || !page.Parent.IsRemote() {
		t.Errorf("page %+v, write %+v", page.Parent, write.Parent)
	}
}

// A page that carries the changes of several traces links to each of them, once; what is no trace is left out.
func TestPageLinksToItsTraces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	provider, out := recorded(t)
	w.c.Tracing = provider
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	one, first := traceOf(1)
	two, second := traceOf(2)
	w.changeIn(one, `insert into item values (1, 'a')`)
	w.changeIn(two, `insert into item values (2, 'b')`)
	w.changeIn(one, `update item set v = 'c'`)
	w.changeIn("nonsense", `insert into item values (4, 'd')`)
	_, stop := w.run()
	w.drained()
	stop()
	var links []trace.TraceID
	for _, s := range out.GetSpans() {
		for _, l := range s.Links {
			links = append(links, l.SpanContext.TraceID())
		}
	}
	if diff := cmp.Diff([]trace.TraceID{first, second}, links); diff != "" {
		t.Error(diff)
	}
}

// A request that fails ends its span with the class of the error.
func TestFailedRequestShowsInItsTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	provider, out := recorded(t)
	w.c.Tracing = provider
	w.store.onWrite = func(_ context.Context, n int, _ []backends.Record) error {
		if n == 1 {
			return fails(backends.Overload)
		}
		return nil
	}
	w.exec(rows(2))
	_, stop := w.start()
	w.drained()
	stop()
	for _, s := range out.GetSpans() {
		if s.Name == "write main" && s.Status.Description != "" {
			if i := slices.IndexFunc(s.Attributes, func(a attribute.KeyValue) bool { return a.Key == "error.type" && a.Value.AsString() == "overload" }); i < 0 {
				t.Errorf("attributes %v", s.Attributes)
			}
			return
		}
	}
	t.Error("no span tells of the failure")
}

// named is the only span of that name in the trace.
func named(t *testing.T, all tracetest.SpanStubs, name string, id trace.TraceID) tracetest.SpanStub {
	t.Helper()
	for _, s := range all {
		if s.Name == name && s.SpanContext.TraceID() == id {
			return s
		}
	}
	t.Fatalf("no span %q in trace %s among %d", name, id, len(all))
	return tracetest.SpanStub{}
}
