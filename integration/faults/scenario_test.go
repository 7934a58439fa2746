package faults_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends/elasticsearch"
	"github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/backends/qdrant"
	"github.com/outflow-db/outflow/integration/faults"
	"github.com/outflow-db/outflow/internal/estest"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// lab is a lab that ends with the test.
func lab(t *testing.T, o faults.Options) *faults.Lab {
	t.Helper()
	o.Pace = 100 * time.Millisecond // several labs share the machine with other tests
	l, err := faults.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// brief is how long a fault lasts that may last as long as one likes.
const brief = 200 * time.Millisecond

// each makes the faults of a part, one after the other, and compares the stores after each of them: everything goes on
// by itself, and nothing is lost.
func each(t *testing.T, l *faults.Lab, part string, wanted func(faults.Scenario) bool) {
	t.Helper()
	can, cannot := l.Of(part)
	for id, why := range cannot {
		t.Logf("left out: %s: %s", id, why)
	}
	for _, s := range can {
		if !wanted(s) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			r := l.Run(t.Context(), s, l.Targets(part)[0], brief)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			_, lost, err := l.Compare(t.Context())
			if err != nil || lost != 0 {
				t.Fatalf("%d records differ after it: %v", lost, err)
			}
			t.Logf("overcome in %v", r.Took.Round(time.Millisecond))
		})
	}
}

func quick(s faults.Scenario) bool { return !s.Slow }

// Faults of PostgreSQL, from a lost connection to a crash of the server.
func TestSourceFaults(t *testing.T) {
	t.Parallel()
	each(t, lab(t, faults.Options{ReadModels: 1}), faults.Source, quick)
}

// Faults of worker processes, which are killed, stopped and told to end, and of River's rows.
func TestWorkerFaults(t *testing.T) {
	t.Parallel()
	l := lab(t, faults.Options{Source: source(t), Qdrants: 1, Nebulas: 1, Processes: 2})
	each(t, l, faults.Workers, quick)
}

// source is the address of a migrated database.
func source(t *testing.T) string {
	t.Helper()
	return pgtest.URL(t, pgtest.New(t))
}

// Faults of a read model.
func TestReadModelFaults(t *testing.T) {
	t.Parallel()
	each(t, lab(t, faults.Options{Source: source(t), ReadModels: 1}), postgres.Type, quick)
}

// Faults of a Qdrant.
func TestQdrantFaults(t *testing.T) {
	t.Parallel()
	each(t, lab(t, faults.Options{Source: source(t), Qdrants: 1}), qdrant.Type, quick)
}

// Faults of a NebulaGraph.
func TestNebulaFaults(t *testing.T) {
	t.Parallel()
	each(t, lab(t, faults.Options{Source: source(t), Nebulas: 1}), nebula.Type, quick)
}

// Faults of a real Elasticsearch.
func TestElasticsearchFaults(t *testing.T) {
	t.Parallel()
	o := faults.Options{Source: source(t), Elasticsearch: faults.Host(estest.URL(t))}
	each(t, lab(t, o), elasticsearch.Type, quick)
}

// Stores that refuse the workers' credentials for a while: the backend pauses, and goes on by itself.
func TestDeniedForAWhile(t *testing.T) {
	t.Parallel()
	for _, part := range []string{postgres.Type, qdrant.Type, nebula.Type} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			n := func(p string) int {
				if p == part {
					return 1
				}
				return 0
			}
			o := faults.Options{Source: source(t), ReadModels: n(postgres.Type), Qdrants: n(qdrant.Type), Nebulas: n(nebula.Type)}
			each(t, lab(t, o), part, func(s faults.Scenario) bool { return s.Slow })
		})
	}
}

// PostgreSQL restored from a dump, to a point in time, promoted from a replica and moved by pg_upgrade, with stores that
// are ahead of it: workers that run notice, and all stores end equal to it.
func TestRestores(t *testing.T) {
	t.Parallel()
	l := lab(t, faults.Options{ReadModels: 1, Nebulas: 1, BigDisk: true})
	if _, lost, err := l.Compare(t.Context()); err != nil || lost > 0 {
		t.Fatalf("%d records differ before: %v", lost, err)
	}
	before := versions(t, l)
	each(t, l, faults.Source, func(s faults.Scenario) bool { return s.Sort == faults.Restore })
	for lane, v := range versions(t, l) {
		if v <= before[lane] {
			t.Errorf("lane %s has version %d after %d", lane, v, before[lane])
		}
	}
}

func versions(t *testing.T, l *faults.Lab) map[string]int64 {
	t.Helper()
	all, err := l.Versions(t.Context())
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	return all
}

// Every scenario says what happens, has a name of its own within a part that there is, and there are forty at least.
func TestScenarios(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range faults.Scenarios() {
		if s.Name == "" || s.Expect == "" || s.Do == nil || seen[s.ID()] || !slices.Contains(faults.Parts(), s.Part) {
			t.Errorf("%+v", s)
		}
		seen[s.ID()] = true
	}
	if len(seen) < 40 {
		t.Errorf("%d scenarios", len(seen))
	}
}

// The figures of a distribution are those of the list, in whatever order it is.
func TestDistribute(t *testing.T) {
	t.Parallel()
	var list []time.Duration
	for i := range 101 {
		list = append(list, time.Duration((i*37)%101))
	}
	want := faults.Distribution{N: 101, P50: 50, P90: 90, P99: 99, Most: 100}
	if got := faults.Distribute(list); got != want {
		t.Errorf("got %+v", got)
	}
	if got := faults.Distribute(nil); got != (faults.Distribution{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

// A fault that does not go away is told, and so is one that cannot be made.
func TestRunTells(t *testing.T) {
	t.Parallel()
	l := lab(t, faults.Options{Source: source(t), Qdrants: 1})
	s := faults.Scenario{Part: qdrant.Type, Name: "damage that is none", Sort: faults.Damage, Do: func(context.Context, *faults.Lab, *faults.Store) (func(context.Context) error, error) {
		return nil, nil
	}}
	if r := l.Run(t.Context(), s, l.Stores[0], 0); r.Err == nil {
		t.Error("a verify that found nothing passes for a repair")
	}
	s.Do = func(context.Context, *faults.Lab, *faults.Store) (func(context.Context) error, error) {
		return nil, context.Canceled
	}
	if r := l.Run(t.Context(), s, l.Stores[0], 0); r.Err == nil {
		t.Error("a fault that was not made passes")
	}
}
