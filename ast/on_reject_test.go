package ast

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A load that asks to be reverted loads nothing where that would not be possible, and names the tables.
func TestOnRejectNeedsHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`select outbox.watch('ast.files', 'file', history => true), outbox.watch('ast.symbols', 'symbol')`)
	_, err := Load(t.Context(), w.pool, these(goFile("a.go")), Options{OnReject: "revert"})
	missing, ok := errors.AsType[*NoHistoryError](err)
	if !ok {
		t.Fatalf("got %v, want a NoHistoryError", err)
	}
	if diff := cmp.Diff([]string{"ast.symbols", "ast.relations", "ast.embeddings"}, missing.Tables); diff != "" {
		t.Error(diff)
	}
	w.same()
	if _, err := Load(t.Context(), w.pool, these(goFile("a.go")), Options{OnReject: "undo"}); err == nil || !strings.Contains(err.Error(), `on reject is "undo": want park or revert`) {
		t.Errorf("got %v, want an error that names the values", err)
	}
	w.same()
	w.loads(Options{OnReject: "park"}, goFile("a.go"))
}

// A load that asks to be reverted says so with each change. It ends where a backend has refused a record of it, before it writes
// more, and does not begin again under the same name; other loads go on.
func TestOnRejectEndsTheLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`select outbox.watch('ast.files', 'file', history => true), outbox.watch('ast.symbols', 'symbol', history => true),
		outbox.watch('ast.relations', 'relation', history => true), outbox.watch('ast.embeddings', 'embedding', history => true)`)
	w.loads(Options{ID: "first", OnReject: "revert"}, goFile("a.go"))
	if n := w.number(`select count(*) from outbox.log where headers->>'on_reject' is distinct from 'revert' or headers->>'load' is distinct from 'first'`); n != 0 {
		t.Errorf("%d rows of the log do not ask", n)
	}
	const refused = `insert into outbox.reversals (what, id, backend, kind, key, reason) values ('load', 'second', 'search', 'file', '1', 'x')`
	o := Options{ID: "second", OnReject: "revert", BatchFiles: 1, Parallel: 1, Progress: func(Progress) { w.exec(refused + ` on conflict do nothing`) }}
	r, err := Load(t.Context(), w.pool, these(goFile("b.go"), goFile("c.go"), goFile("d.go")), o)
	rejected, ok := errors.AsType[*RejectedError](err)
	if !ok || rejected.Load != "second" || rejected.Why != "backend search refused a record of kind file" {
		t.Errorf("got %v, want that load second is rejected", err)
	}
	if r.Batches != 1 {
		t.Errorf("%d batches were written, want 1", r.Batches)
	}
	if r, err := Load(t.Context(), w.pool, these(goFile("e.go")), o); r.Batches != 0 || !errors.As(err, new(*RejectedError)) {
		t.Errorf("a load of the same name: %d batches, %v", r.Batches, err)
	}
	o.ID, o.Progress = "third", nil
	if _, err := Load(t.Context(), w.pool, these(goFile("e.go")), o); err != nil {
		t.Errorf("another load: %v", err)
	}
	o.ID, o.OnReject = "second", ""
	if _, err := Load(t.Context(), w.pool, these(goFile("f.go")), o); err != nil {
		t.Errorf("one that does not ask: %v", err)
	}
}
