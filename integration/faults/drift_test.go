package faults_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/postgres"
	"github.com/outflow-db/outflow/internal/estest"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/internal/projection"
	"github.com/outflow-db/outflow/jobs"
)

// What somebody else deletes, alters and adds in a store, behind the engine's back, is found and named by verify, repaired
// by it when it is asked to, and not before, and gone when it looks again. Of every store.
func TestDrift(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) *crowd{
		"postgres": func(t *testing.T) *crowd {
			t.Helper()
			return newCrowd(t,
				backends.Config{Name: "far", Type: postgres.Type, Settings: map[string]any{"url": pgtest.URL(t, pgtest.Empty(t))}},
				jobs.Projection{Kind: "node", Backend: "far", Target: "node", Query: nodeQuery})
		},
		"elasticsearch": func(t *testing.T) *crowd { t.Helper(); return newTexts(t, estest.URL(t), estest.Prefix(t)).crowd },
		"qdrant":        func(t *testing.T) *crowd { t.Helper(); return newVectors(t, true).crowd },
		"nebula":        func(t *testing.T) *crowd { t.Helper(); return newGraph(t).crowd },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			c.exec(`insert into node select i, 'v' || i, array[1, i, 2], array[i, 1] from generate_series(1, 50) i`)
			c.until(`select coalesce(sum(rows), 0) = 0 from outbox.lag`)
			c.meddle("1", "2", "9999")
			want := "deleted 1, altered 2, added 9999"
			if got := c.differences(false); got != want {
				t.Errorf("verify found %q, want %q", got, want)
			}
			if got := c.differences(true); got != want {
				t.Errorf("verify changed something without being asked to: then it found %q, want %q", got, want)
			}
			c.until(`select coalesce(sum(rows), 0) = 0 from outbox.lag`)
			if got := c.differences(false); got != "" {
				t.Errorf("after the repair verify found %q", got)
			}
		})
	}
}

// meddle deletes a node, gives one the content of another, and adds one that the table does not have.
func (c *crowd) meddle(deleted, altered, added string) {
	c.t.Helper()
	b, err := backends.Open(c.t.Context(), c.c.Backends[0])
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	p := c.c.Projections[0]
	target := backends.Target{Kind: p.Kind, Name: p.Target, Settings: p.Settings, Generation: 1}
	if target.Columns, _, err = projection.Describe(c.t.Context(), c.source, p.Query); err != nil {
		c.t.Fatal(err)
	}
	foreign := c.record(b, target, "3")
	list := []backends.Record{{Key: deleted, Deleted: true}, foreign, foreign}
	list[1].Key, list[2].Key = altered, added
	held, err := b.Lookup(c.t.Context(), target, []string{deleted, altered})
	if err != nil || len(held) != 2 {
		c.t.Fatalf("%+v, %v", held, err)
	}
	for i := range list {
		list[i].Version = max(held[0].Version, held[1].Version)
	}
	results, err := b.Write(c.t.Context(), target, list)
	if err != nil || slices.ContainsFunc(results, func(r backends.Result) bool { return r.Outcome != backends.Applied }) {
		c.t.Fatalf("%+v, %v", results, err)
	}
}

// record is a row as the backend would get it.
func (c *crowd) record(b backends.Backend, target backends.Target, key string) backends.Record {
	c.t.Helper()
	layout, err := b.Layout(target)
	if err != nil {
		c.t.Fatal(err)
	}
	rows, err := c.source.Query(c.t.Context(), projection.SQL(c.c.Projections[0].Query, layout), projection.Formats(layout), []string{key})
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	for r, err := range projection.Read(rows, layout, 1) {
		if err != nil {
			c.t.Fatal(err)
		}
		return r
	}
	c.t.Fatalf("no row %s", key)
	return backends.Record{}
}

// differences is what verify says of nodes, and logs again if it shall.
func (c *crowd) differences(repair bool) string {
	c.t.Helper()
	report, err := jobs.Verify(context.WithoutCancel(c.t.Context()), c.c, jobs.VerifyOptions{Repair: repair, Limit: 10})
	if err != nil {
		c.t.Fatal(err)
	}
	words := map[string]string{"missing": "deleted", "different": "altered", "extra": "added"}
	var list []string
	for _, target := range report.Targets {
		if want := int64(len(target.Examples)); repair && target.Repaired != want {
			c.t.Errorf("%d of %d differences were logged again", target.Repaired, want)
		}
		for _, d := range target.Examples {
			list = append(list, fmt.Sprint(words[d.What], " ", d.Key))
		}
	}
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(a[len(a)-1:]+a, b[len(b)-1:]+b) })
	return strings.Join(list, ", ")
}
