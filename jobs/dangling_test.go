package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	_ "github.com/outflow-db/outflow/backends/nebula"
	"github.com/outflow-db/outflow/internal/nebulatest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// network makes the world one of tables node(name, hidden) and edge(a, b), without a foreign key, and of the kinds node,
// hidden ones of which are not projected, and edge.
func (w *world) network() {
	w.t.Helper()
	w.exec(`create table node (name text primary key, hidden boolean not null default false); create table edge (a text, b text, primary key (a, b))`)
	w.c.Kinds = []outbox.Kind{{Name: "node", Table: "node"}, {Name: "edge", Table: "edge"}}
	w.c.Projections = []jobs.Projection{
		{Kind: "node", Backend: "main", Target: "node", Query: `select name as key, 'x' as x from node where name = any($1::text[]) and not hidden`},
		{
			Kind: "edge", Backend: "main", Target: "edge", Settings: map[string]any{"edge": map[string]any{"source": 0, "target": 1}},
			Query: `select k.key, 'y' as y from unnest($1::text[]) k (key) join edge e on e.a = k.key::jsonb->>0 and e.b = k.key::jsonb->>1`,
		},
	}
}

// newGraph is a world whose nodes and edges go into a NebulaGraph; ngql runs statements there.
func newGraph(t *testing.T) (w *world, ngql func(string)) {
	t.Helper()
	w = newWorld(t)
	server := nebulatest.Open(t)
	space := server.Space(t)
	w.c.Backends = []backends.Config{{Name: "main", Type: "nebula", Settings: map[string]any{
		"addresses": server.Addr, "user": server.User, "password": server.Password, "space": space,
	}}}
	w.network()
	conn := server.Connect(t)
	return w, func(stmt string) {
		t.Helper()
		r, err := conn.Execute("USE `"+space+"`; "+stmt, nil)
		if err != nil || r.GetErrorCode() != 0 {
			t.Fatalf("%s: %v %s", stmt, err, r.GetErrorMsg())
		}
	}
}

// dangling is what a verify found of the edges.
func (w *world) dangling(o jobs.VerifyOptions) *jobs.Dangling {
	w.t.Helper()
	o.Kinds = []string{"edge"}
	return w.verify(o).Targets[0].Dangling
}

// An edge dangles at the ends that the graph does not have: a verify that looks says so, and says which of them PostgreSQL
// has; it is no difference. A shallow one does not look, a deep one does; what was found is kept, and a scheduled
// verify finds the same.
func TestDangling(t *testing.T) {
	t.Parallel()
	w, ngql := newGraph(t)
	_, stop := w.start()
	w.applied(`insert into node values ('a'), ('b'), ('lost')`, `insert into node values ('away', true)`,
		`insert into edge values ('a', 'b'), ('x', 'a'), ('a', 'x'), ('x', 'y'), ('a', 'away'), ('b', 'lost'), ('lost', 'x')`)
	w.drained()
	ngql(`DELETE TAG node FROM "lost"`)
	ngql("INSERT EDGE `edge`(`y`) VALUES \"p\"->\"q\":(\"by hand\")") // no record: nothing of ours
	if got := w.dangling(jobs.VerifyOptions{}); got != nil {
		t.Errorf("unasked: %+v", got)
	}
	want := &jobs.Dangling{Records: 6, Lacking: 1, Examples: []jobs.DanglingRecord{
		{Key: `["a", "away"]`, Ends: []jobs.MissingEnd{{End: "target", ID: "away"}}},
		{Key: `["a", "x"]`, Ends: []jobs.MissingEnd{{End: "target", ID: "x"}}},
		{Key: `["b", "lost"]`, Ends: []jobs.MissingEnd{{End: "target", ID: "lost", Lacking: "node"}}},
		{Key: `["lost", "x"]`, Ends: []jobs.MissingEnd{{End: "source", ID: "lost", Lacking: "node"}, {End: "target", ID: "x"}}},
		{Key: `["x", "a"]`, Ends: []jobs.MissingEnd{{End: "source", ID: "x"}}},
		{Key: `["x", "y"]`, Ends: []jobs.MissingEnd{{End: "source", ID: "x"}, {End: "target", ID: "y"}}},
	}}
	for _, o := range []jobs.VerifyOptions{{Dangling: true}, {Deep: true}} {
		o.Kinds = []string{"edge"}
		r := w.verify(o)
		if diff := cmp.Diff(want, r.Targets[0].Dangling); diff != "" || !r.OK() || r.Targets[0].Records != 7 {
			t.Errorf("%+v: %+v (-want +got):\n%s", o, r.Targets[0], diff)
		}
	}
	results, err := jobs.Results(t.Context(), w.pool)
	if err != nil || len(results) != 1 || cmp.Diff(want, results[0].Dangling) != "" {
		t.Errorf("kept is %+v, %v", results, err)
	}
	if r := w.verify(jobs.VerifyOptions{Dangling: true, Kinds: []string{"node"}, Settle: time.Minute}); r.Targets[0].Dangling != nil || r.OK() {
		t.Errorf("of the nodes: %+v", r.Targets[0])
	}
	want.Examples = want.Examples[:2]
	if diff := cmp.Diff(want, w.dangling(jobs.VerifyOptions{Dangling: true, Limit: 2})); diff != "" {
		t.Errorf("two examples (-want +got):\n%s", diff)
	}
	w.enqueue(jobs.VerifyArgs{Backend: "main", Dangling: true}, "main")
	eventually(t, "the job is done", func() bool {
		return value[int](w, `select count(*) from river.river_job where kind = 'verify' and state = 'completed'`) == 1
	})
	w.keptDangling("job", 6, 1)
	stop()
	w.scheduled(jobs.Schedule{Every: time.Hour, Dangling: true, Repair: true})
	e, _ := w.run()
	if err := e.ScheduleVerifies(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the scheduled verify is over", func() bool {
		return value[int](w, `select count(*) from outbox.verifying where ended is not null`) == 1
	})
	w.keptDangling("schedule", 6, 1)
	w.drained()
	w.applied(`delete from edge where 'x' in (a, b)`)
	if got := w.dangling(jobs.VerifyOptions{Dangling: true}); got.Records != 1 || got.Lacking != 0 || len(got.Examples) != 1 {
		t.Errorf("once the node is back and rows are gone: %+v", got)
	}
}

// keptDangling wants the last verify of the edges to be of somebody, and to have found so many.
func (w *world) keptDangling(by string, records, lacking int64) {
	w.t.Helper()
	results, err := jobs.Results(w.t.Context(), w.pool)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range results {
		if r.Kind == "edge" && (r.By != by || r.Dangling == nil || r.Dangling.Records != records || r.Dangling.Lacking != lacking) {
			text, _ := json.Marshal(r)
			w.t.Errorf("kept of %s: %s", by, text)
		}
	}
}

// A node and its edges come and go in one transaction, always, and in the graph by different lanes and one after the
// other: whatever moment a verify meets, it reports no edge that dangles.
func TestDanglingUnderWrites(t *testing.T) {
	t.Parallel()
	w, _ := newGraph(t)
	w.c.Limits = map[string]jobs.Limits{"main": {Lanes: 3}}
	_, stop := w.start()
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	for n := range 2 {
		g.Go(func() error {
			for i := 0; ctx.Err() == nil; i++ {
				from, to := fmt.Sprint(n, ".", i%40), fmt.Sprint(n, ".", (i+1)%40)
				sql := `insert into node values ('%[1]s'), ('%[2]s') on conflict do nothing; insert into edge values ('%[1]s', '%[2]s'), ('%[2]s', '%[1]s') on conflict do nothing`
				if i%3 == 2 {
					sql = `delete from edge where '%[1]s' in (a, b); delete from node where name = '%[1]s' and '%[2]s' <> ''`
				}
				if _, err := w.pool.Exec(ctx, fmt.Sprintf(sql, from, to)); err != nil && ctx.Err() == nil {
					return err
				}
				time.Sleep(time.Millisecond) // not to keep the machine busy
			}
			return nil
		})
	}
	var looked int64
	for range 3 {
		o := jobs.VerifyOptions{Dangling: true, Settle: 2 * time.Second}
		d := w.dangling(o)
		if looked += d.InFlight; d.Records > 0 {
			text, _ := json.Marshal(d)
			t.Errorf("reported: %s", text)
		}
	}
	cancel()
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	w.drained()
	if d := w.dangling(jobs.VerifyOptions{Dangling: true}); d.Records+d.InFlight > 0 {
		t.Errorf("at rest: %+v; %d were in flight before", d, looked)
	}
}

// Edges whose projection joins their ends, and whose kind depends on the ends' kind, never dangle at rest, as docs/nebula.md
// promises: an edge that is written before its ends comes with them, and one whose end is deleted or hidden goes with it,
// though its row stays.
func TestJoinedEdgesDoNotDangle(t *testing.T) {
	t.Parallel()
	w, _ := newGraph(t)
	w.c.Kinds[0].Dependants = map[string]string{"edge": `select jsonb_build_array(a, b)::text from edge where a = any($1::text[]) or b = any($1::text[])`}
	w.c.Projections[1].Query += ` join node s on s.name = e.a and not s.hidden join node t on t.name = e.b and not t.hidden`
	_, stop := w.start()
	defer stop()
	edges := func(want int64, why string) {
		t.Helper()
		w.drained()
		r := w.verify(jobs.VerifyOptions{Dangling: true, Kinds: []string{"edge"}}).Targets[0]
		if diff := cmp.Diff(&jobs.Dangling{}, r.Dangling); diff != "" || !r.OK() || r.Records != want || r.Counts.Store != want {
			t.Errorf("%s: %+v, %+v", why, r, r.Dangling)
		}
	}
	w.applied(`insert into edge select 'n' || g, 'n' || g % 20 + 1 from generate_series(1, 20) g`)
	edges(0, "before the nodes")
	w.applied(`insert into node select 'n' || g from generate_series(1, 20) g`)
	edges(20, "with the nodes")
	w.applied(`delete from node where name = 'n3'`)
	w.applied(`update node set hidden = true where name = 'n7'`)
	edges(16, "without two nodes")
	w.applied(`insert into node values ('n3')`)
	edges(18, "with one of them again")
}

// linking is a fake whose records of target edge end at records of target node, by their keys [a, b].
type linking struct {
	*fake
	mu    sync.Mutex
	asked int
	sizes []int             // keys of each question
	after func(n int) error // once question n is answered, from 1
	blind bool              // it cannot tell which records the ends would be
}

// links makes the world's store one whose records refer to others.
func (w *world) links() *linking {
	w.t.Helper()
	w.network()
	l := &linking{fake: w.store}
	fakes.Store(w.c.Backends[0].Settings["id"], l)
	return l
}

func (l *linking) Ends(target backends.Target, targets []backends.Target) (backends.Ends, error) {
	if target.Name != "edge" {
		return nil, nil
	}
	if len(targets) != 2 {
		return nil, fmt.Errorf("%d targets are told", len(targets))
	}
	return l, nil
}

func (l *linking) Missing(_ context.Context, keys []string) ([]backends.Dangling, error) {
	l.mu.Lock()
	l.asked++
	n, after := l.asked, l.after
	l.sizes = append(l.sizes, len(keys))
	l.mu.Unlock()
	var found []backends.Dangling
	for _, key := range keys {
		var ends []string
		if err := json.Unmarshal([]byte(key), &ends); err != nil {
			return nil, err
		}
		d := backends.Dangling{Key: key}
		for _, end := range ends {
			if l.held("node", end).Key == "" {
				ref := backends.Reference{Kind: "node", Target: "node", Key: end}
				if l.blind {
					ref.Key = ""
				}
				d.Ends = append(d.Ends, backends.End{Name: "end", ID: end, Records: []backends.Reference{ref}})
			}
		}
		if len(d.Ends) > 0 {
			found = append(found, d)
		}
	}
	if after != nil {
		if err := after(n); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// lose takes a record out of the store.
func (w *world) lose(target, key string) {
	w.t.Helper()
	w.store.set(func(f *fake) { delete(f.targets[target], key) })
}

// While the end of an edge is committed and not applied yet, nothing is said of the edge; once the end is there, the edge
// does not dangle.
func TestDanglingWhileItsEndIsOnItsWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.links()
	_, stop := w.start()
	w.applied(`insert into node values ('a')`, `insert into edge values ('a', 'b')`)
	hold := make(chan struct{})
	w.store.set(func(f *fake) {
		f.onWrite = func(ctx context.Context, _ int, _ []backends.Record) error {
			select {
			case <-hold:
			case <-ctx.Done():
			}
			return ctx.Err()
		}
	})
	token := w.write(`insert into node values ('b')`)
	if d := w.dangling(jobs.VerifyOptions{Dangling: true, Settle: 300 * time.Millisecond}); d.Records != 0 || d.InFlight != 1 || len(d.Examples) > 0 {
		t.Errorf("before its end is there: %+v", d)
	}
	close(hold)
	w.wait(token)
	if diff := cmp.Diff(&jobs.Dangling{}, w.dangling(jobs.VerifyOptions{Dangling: true})); diff != "" {
		t.Errorf("once its end is there: %s", diff)
	}
	stop()
}

// An end that is committed while the verify looks again is noticed, also where the store cannot tell which record it
// would be; so is an edge that goes away.
func TestDanglingThatMoves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		blind bool
		while string
	}{
		"its end comes":                       {while: `insert into node values ('b')`},
		"its end comes, whichever record is":  {blind: true, while: `insert into node values ('b')`},
		"it goes":                             {while: `delete from edge`},
		"a kind that it is made of changes":   {while: `update kin set n = n + 1`},
		"a kind that its end is made of does": {while: `update sin set n = n + 1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.links()
			l.blind = c.blind
			w.exec(`create table kin (n int primary key); insert into kin values (1); create table sin (n int primary key); insert into sin values (1)`)
			w.c.Kinds = append(w.c.Kinds,
				outbox.Kind{Name: "kin", Table: "kin", Dependants: map[string]string{"edge": `select jsonb_build_array(a, b)::text from edge where $1::text[] is not null`}},
				outbox.Kind{Name: "sin", Table: "sin", Dependants: map[string]string{"node": `select name from node where $1::text[] is not null`}})
			_, stop := w.start()
			w.applied(`insert into node values ('a')`, `insert into edge values ('a', 'b')`)
			w.drained()
			stop()
			l.after = func(n int) error {
				if n != 2 { // after the scan's
					return nil
				}
				_, err := w.pool.Exec(context.WithoutCancel(t.Context()), c.while)
				return err
			}
			d := w.dangling(jobs.VerifyOptions{Dangling: true, Settle: 50 * time.Millisecond})
			if d.Records != 0 || d.InFlight != 1 {
				t.Errorf("%+v after %d questions", d, l.asked)
			}
		})
	}
}

// A record that is gone from the store does not dangle, and one whose end came back does not either; what dangles is
// settled in parts, all of it counted.
func TestDanglingParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.links()
	_, stop := w.start()
	w.applied(`insert into node select 'n' || g from generate_series(1, 2500) g`,
		`insert into edge select 'n' || g, 'n' || g + 1 from generate_series(1, 2500) g`)
	w.drained()
	stop()
	for i := range 1200 {
		w.lose("node", fmt.Sprint("n", 2*i+1))
	}
	l.after = func(n int) error {
		if n == 25 { // the scan, in pages of 100, is over
			w.store.set(func(f *fake) {
				delete(f.targets["edge"], `["n1", "n2"]`)
				f.targets["node"]["n3"] = backends.Record{Key: "n3"}
			})
		}
		return nil
	}
	// Without n1, n5, …, n2399 each edge up to n2399 -> n2400 dangles, and that into n2501, which there is none of.
	d := w.dangling(jobs.VerifyOptions{Dangling: true, Limit: 1})
	if d.Records != 2399-3+1 || d.Lacking != 2399-3 || d.InFlight != 0 || len(d.Examples) != 1 {
		t.Errorf("%+v", d)
	}
	if slices.Max(l.sizes) > 1000 || len(l.sizes) != 25+3 {
		t.Errorf("questions of %v keys", l.sizes)
	}
}

// A store that fails or panics while it is asked makes the verify fail: it does not say that all is well.
func TestDanglingFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.links()
	_, stop := w.start()
	w.applied(`insert into edge values ('a', 'b')`)
	stop()
	for text, after := range map[string]func(int) error{
		"as commanded": func(int) error { return fails(backends.Transient) },
		"panicked":     func(int) error { panic("ends") },
		"twice":        func(n int) error { return map[bool]error{true: errors.New("twice")}[n%2 == 0] },
	} {
		l.mu.Lock()
		l.after, l.asked = after, 0
		l.mu.Unlock()
		_, err := jobs.Verify(t.Context(), w.c, jobs.VerifyOptions{Dangling: true, Kinds: []string{"edge"}})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	w.c.Projections = append(w.c.Projections, jobs.Projection{Kind: "node", Backend: "main", Target: "more", Query: w.c.Projections[0].Query})
	if err := jobs.Setup(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.Verify(t.Context(), w.c, jobs.VerifyOptions{Dangling: true, Kinds: []string{"edge"}}); err == nil || !strings.Contains(err.Error(), "3 targets are told") {
		t.Errorf("with another target: %v", err)
	}
}
