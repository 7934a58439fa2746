package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/esserver"
	"github.com/outflow-db/outflow/internal/estest"
)

// target is one with two columns and these settings.
func target(more map[string]any) backends.Target {
	return backends.Target{
		Kind: "thing", Name: "things", Settings: small(more),
		Columns: []backends.Column{{Name: "name", Type: "text", Base: "text"}, {Name: "n", Type: "integer", Base: "integer"}},
	}
}

func prepared(t *testing.T, b *backend, targets ...backends.Target) {
	t.Helper()
	if err := b.Prepare(t.Context(), targets); err != nil {
		t.Fatal(err)
	}
}

// Every problem of a target's settings is told at once.
func TestBadTargets(t *testing.T) {
	t.Parallel()
	b := &backend{name: "search"}
	x := target(map[string]any{
		"shards": 0, "gc_deletes": "1s", "typo": 1, "settings": map[string]any{"number_of_shards": 2}, "fields": map[string]any{"lost": map[string]any{"type": "text"}, "n": "integer"},
	})
	x.Columns = append(x.Columns, backends.Column{Name: digestField, Base: "text"})
	_, err := b.Layout(x)
	for _, want := range []string{"shards", "gc_deletes", "typo", "index.number_of_shards", `"lost"`, "fields.n", digestField} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
	for _, name := range []string{"", "Big", "-a", "a..b", "a@1", "a*", strings.Repeat("x", 201)} {
		if _, err := b.Layout(backends.Target{Name: name}); backends.ClassOf(err) != backends.Rejected {
			t.Errorf("target %q: %v", name, err)
		}
	}
	if err := b.Prepare(t.Context(), []backends.Target{{Name: "Big"}}); err == nil {
		t.Error("prepared")
	}
	if _, err := b.Plan(t.Context(), []backends.Target{{Name: "Big"}}); err == nil {
		t.Error("planned")
	}
}

// What differs in the settings, the mappings and the aliases is planned field by field; what the server takes in place is
// put in place, and then nothing differs; all else is refused with the way out, and nothing is changed.
func TestDifferences(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	prepared(t, b, target(map[string]any{"fields": map[string]any{"name": map[string]any{"type": "keyword", "ignore_above": 10}}}))
	wanted := target(map[string]any{
		"refresh": "5s", "gc_deletes": "2h", "settings": map[string]any{"max_result_window": 20000},
		"fields": map[string]any{"name": map[string]any{"type": "keyword", "ignore_above": 20}},
	})
	wanted.Columns = append(wanted.Columns, backends.Column{Name: "more", Type: "text", Base: "text"})
	if got, want := plan(t, b, wanted), []string{
		"alter fields.more", "alter fields.name.ignore_above 10 20", "alter index.gc_deletes 1h 2h", "alter index.max_result_window  20000", "alter index.refresh_interval 1s 5s",
	}; !cmp.Equal(got, want) {
		t.Errorf("plan: %s", cmp.Diff(want, got))
	}
	prepared(t, b, wanted)
	if got := plan(t, b, wanted); len(got) > 0 {
		t.Errorf("after Prepare still differs: %v", got)
	}
	other := target(map[string]any{"shards": 2, "refresh": "9s", "fields": map[string]any{"name": map[string]any{"type": "text", "fields": map[string]any{"raw": map[string]any{"type": "keyword"}}}}})
	if got := strings.Join(plan(t, b, other), "\n"); !strings.Contains(got, "rebuild index.number_of_shards 1 2") || !strings.Contains(got, "rebuild fields.name.type keyword text") {
		t.Errorf("plan: %s", got)
	}
	err := b.Prepare(t.Context(), []backends.Target{other})
	if e := backends.AsError("", "", err); e.Class != backends.Schema || !strings.Contains(e.Advice, "outflow rebuild search thing --beside") || !strings.Contains(e.Error(), "number_of_shards") {
		t.Errorf("got %v", err)
	}
	if got := plan(t, b, wanted); len(got) > 0 {
		t.Errorf("a refused Prepare changed %v", got)
	}
}

// plan lists changes as texts, without long values.
func plan(t *testing.T, b *backend, targets ...backends.Target) []string {
	t.Helper()
	changes, err := b.Plan(t.Context(), targets)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, c := range changes {
		s := fmt.Sprintf("%s %s", c.What, c.Field)
		if c.To != "" && len(c.To) < 20 {
			s += " " + c.From + " " + c.To
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

// An alias that is missing is put back; one that is taken by an index, or that other indices have, is refused.
func TestAliases(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	x := target(nil)
	prepared(t, b, x)
	n, err := b.names(x)
	if err != nil {
		t.Fatal(err)
	}
	remove := func(alias string) any {
		return map[string]any{"remove": map[string]any{"index": n.index, "alias": alias}}
	}
	if err := b.aliases(t.Context(), []any{remove(n.alias), remove(n.write)}); err != nil {
		t.Fatal(err)
	}
	if got := plan(t, b, x); !cmp.Equal(got, []string{"alter write alias", "create alias"}) && len(got) != 2 {
		t.Errorf("plan: %v", got)
	}
	prepared(t, b, x)
	if got := plan(t, b, x); len(got) > 0 {
		t.Errorf("after Prepare still differs: %v", got)
	}
	y := x
	y.Name = "taken"
	if err := b.ask(t.Context(), esapi.IndicesCreateRequest{Index: b.prefix + "taken"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Prepare(t.Context(), []backends.Target{y}); backends.ClassOf(err) != backends.Schema {
		t.Errorf("an index has the alias's name: %v", err)
	}
	if err := b.Serve(t.Context(), y); backends.ClassOf(err) != backends.Schema {
		t.Errorf("an index has the alias's name: %v", err)
	}
}

// entriesOf are the keys and versions that a target's generation holds.
func entriesOf(t *testing.T, b *backend, x backends.Target) (list []string) {
	t.Helper()
	err := b.Scan(t.Context(), x, func(page []backends.Entry) error {
		for _, e := range page {
			list = append(list, fmt.Sprintf("%s %d", e.Key, e.Version))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// A generation is filled beside the one that readers see, takes its place at once, and the former one can be dropped then
// and not before.
func TestGenerations(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	first, second := target(nil), target(map[string]any{"shards": 2})
	first.Generation, second.Generation, second.Building = 1, 2, true
	prepared(t, b, second, first)
	for _, x := range []backends.Target{first, second} {
		r := record(fmt.Sprint("k", x.Generation), `{"name": "a", "n": 1}`)
		if got := summary(b.Write(t.Context(), x, []backends.Record{r})); got != "written" {
			t.Fatal(got)
		}
	}
	readers := func() (list []string) {
		var found map[string]*indexState
		if err := b.ask(t.Context(), esapi.IndicesGetAliasRequest{Index: []string{b.prefix + "things"}}, &found); err != nil {
			t.Fatal(err)
		}
		for name := range found {
			list = append(list, strings.TrimPrefix(name, b.prefix))
		}
		return list
	}
	if got := readers(); !cmp.Equal(got, []string{"things@1"}) {
		t.Errorf("readers see %v", got)
	}
	if err := b.Drop(t.Context(), first); backends.ClassOf(err) != backends.Rejected {
		t.Errorf("what readers see was dropped: %v", err)
	}
	for range 2 {
		if err := b.Finish(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if err := b.Serve(t.Context(), second); err != nil {
			t.Fatal(err)
		}
	}
	if got := readers(); !cmp.Equal(got, []string{"things@2"}) {
		t.Errorf("readers see %v", got)
	}
	for range 2 {
		if err := b.Drop(t.Context(), first); err != nil {
			t.Fatal(err)
		}
	}
	second.Building = false
	if got := plan(t, b, second); len(got) > 0 {
		t.Errorf("what is served differs: %v", got)
	}
	if got := entriesOf(t, b, second); !cmp.Equal(got, []string{"k2 7"}) {
		t.Errorf("it holds %v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{b.Finish(ended, second), b.Serve(ended, second), b.Drop(ended, second), b.Prepare(ended, []backends.Target{second})} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := b.Plan(ended, []backends.Target{second}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A document that the mapping refuses among 10,000 is refused alone, with the server's reason and advice; the others are in.
func TestOneOfManyRefused(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	x := target(nil)
	prepared(t, b, x)
	const many, bad = 10_000, 6789
	refusals := 0
	for at := 0; at < many; at += maxRecords {
		records := make([]backends.Record, maxRecords)
		for i := range records {
			records[i] = record(fmt.Sprintf("k%05d", at+i), `{"name": "a", "n": 1}`)
			if at+i == bad {
				records[i].Doc = []byte(`{"name": "a", "n": "no number"}`)
			}
		}
		results, err := b.Write(t.Context(), x, records)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Outcome != backends.Failed {
				continue
			}
			refusals++
			if e := r.Err; at+i != bad || e.Class != backends.Rejected || e.Key != fmt.Sprintf("k%05d", bad) || !strings.Contains(e.Error(), "[n]") || !strings.Contains(e.Advice, "mend the value") {
				t.Errorf("%d: %v (%s)", at+i, e, e.Advice)
			}
		}
	}
	if got := entriesOf(t, b, x); refusals != 1 || len(got) != many-1 {
		t.Errorf("%d refused, %d are in", refusals, len(got))
	}
}

// Keys of 512 bytes are taken; a longer one is refused alone, and its delete is done, because it cannot be there.
func TestLongKeys(t *testing.T) {
	t.Parallel()
	b := store(t, nil)
	x := target(nil)
	prepared(t, b, x)
	long := strings.Repeat("é", maxID/2)
	results, err := b.Write(t.Context(), x, []backends.Record{record(long, `{"n": 1}`), record(long+"x", `{"n": 1}`), {Key: long + "y", Version: 1, Deleted: true}})
	if got := summary(results, err); got != "written rejected written" || results[1].Err.Advice == "" {
		t.Errorf("got %q, %v", got, err)
	}
	found, err := b.Lookup(t.Context(), x, []string{long, long + "x"})
	if err != nil || len(found) != 1 || found[0].Key != long {
		t.Errorf("%v, %v", found, err)
	}
}

// A server that is killed under load and comes back has everything that it acknowledged.
func TestKilled(t *testing.T) {
	t.Parallel()
	server := estest.Start(t, esserver.Config{})
	b := opened(t, map[string]any{"addresses": server.URL()})
	x := target(nil)
	prepared(t, b, x)
	var acknowledged []string
	kill := sync.OnceFunc(func() { go func() { _ = server.Kill() }() })
	for i := 0; i < 60; i++ {
		if i == 20 {
			kill()
		}
		key := fmt.Sprintf("k%02d", i)
		results, err := b.Write(t.Context(), x, []backends.Record{record(key, `{"n": 1}`)})
		if summary(results, err) == "written" {
			acknowledged = append(acknowledged, key+" 7")
			continue
		}
		if c := backends.ClassOf(err); c != backends.Unknown && c != backends.Transient {
			t.Fatalf("%v: %v", c, err)
		}
		if err := server.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		i-- // again
	}
	if got := entriesOf(t, b, x); !cmp.Equal(got, acknowledged) {
		t.Errorf("%d were acknowledged, there are %d", len(acknowledged), len(got))
	}
	if err := b.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

// A cluster that has lost shards is not well, and an index whose writes are switched off is told with what to do.
func TestHealthStates(t *testing.T) {
	t.Parallel()
	red := opened(t, map[string]any{"addresses": answering(t, text(http.StatusOK, `{"status":"red","unassigned_primary_shards":3}`)).URL})
	if err := red.Health(t.Context()); backends.ClassOf(err) != backends.Transient || !strings.Contains(err.Error(), "3 primary shards") {
		t.Errorf("red: %v", err)
	}
	b := store(t, nil)
	x := target(nil)
	prepared(t, b, x)
	if err := b.Health(t.Context()); err != nil {
		t.Error(err)
	}
	n, err := b.names(x)
	if err != nil {
		t.Fatal(err)
	}
	for block, want := range map[string]string{"read_only_allow_delete": "a disk is full", "write": "the block write"} {
		if err := b.ask(t.Context(), esapi.IndicesPutSettingsRequest{Index: []string{n.index}, Body: body(map[string]any{"index.blocks." + block: true})}, nil); err != nil {
			t.Fatal(err)
		}
		if err := b.Health(t.Context()); backends.ClassOf(err) != backends.Transient || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", block, err)
		}
		if results, err := b.Write(t.Context(), x, []backends.Record{record("a", `{"n": 1}`)}); err == nil && results[0].Outcome != backends.Failed {
			t.Errorf("%s: it was written", block)
		}
		if err := b.ask(t.Context(), esapi.IndicesPutSettingsRequest{Index: []string{n.index}, Body: body(map[string]any{"index.blocks." + block: nil})}, nil); err != nil {
			t.Fatal(err)
		}
	}
	late, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := b.Health(late); err == nil {
		t.Error("well, without an answer")
	}
}
