package faults_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// outage cuts the engine behind the proxy off from the store.
func (w *world) outage() {
	w.proxy.Refuse(true)
	w.proxy.Cut()
}

// did is how often something was done to the backend.
func (w *world) did(what string) int {
	w.t.Helper()
	list, err := outbox.Events(w.t.Context(), w.source, outbox.EventFilter{What: what, Backend: "far"}, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

// A backend whose store no process reaches pauses by itself, with its queue; no job fails again and again meanwhile.
// When the store is back it resumes by itself, within seconds, and nothing is lost. It does both once.
func TestOutagePauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.wait(w.write())
	w.outage()
	token := w.write()
	w.until(`select coalesce(paused_by, '') = 'breaker' and paused like 'no endpoint can be reached: %' from outbox.backends`)
	w.until(`select paused_at is not null and metadata ? 'outflow_paused' from river.river_queue where name = 'far'`)
	var before, after int
	attempts := `select count(*) from river.river_job where kind = 'project'`
	if err := w.source.QueryRow(t.Context(), attempts).Scan(&before); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)                                                                       // a job would fail within
	if err := w.source.QueryRow(t.Context(), attempts).Scan(&after); err != nil || after > before+1 { // one was about to be made
		t.Errorf("%d jobs were made while the backend was paused, %v", after-before, err)
	}
	w.proxy.Refuse(false)
	back := time.Now()
	w.wait(token)
	t.Logf("written %s after the store was back", time.Since(back).Round(time.Millisecond))
	w.until(`select paused_at is null from river.river_queue where name = 'far'`)
	if p, r := w.did("paused"), w.did("resumed"); p != 1 || r != 1 {
		t.Errorf("it paused %d times and resumed %d times", p, r)
	}
	w.agrees()
}

// A pause by an operator outlasts the outage that came before it.
func TestOperatorOutranksBreaker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.wait(w.write())
	w.outage()
	token := w.write()
	w.until(`select coalesce(paused_by, '') = 'breaker' and paused like 'no endpoint can be reached: %' from outbox.backends`)
	if err := outbox.Pause(t.Context(), w.source, "far", outbox.ByOperator, "maintenance"); err != nil {
		t.Fatal(err)
	}
	w.proxy.Refuse(false)
	time.Sleep(4 * time.Second) // a probe succeeds within
	w.until(`select paused = 'maintenance' from outbox.backends`)
	if err := outbox.Resume(t.Context(), w.source, "far"); err != nil {
		t.Fatal(err)
	}
	w.wait(token)
	w.agrees()
}

// A process that is cut off from the store alone does not keep the others from it: what is written meanwhile arrives,
// and the backend is not paused again and again.
func TestOneProcessIsCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	pool, err := pgxpool.NewWithConfig(t.Context(), w.source.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	near := *w
	near.c.Pool = pool
	near.c.Backends = []backends.Config{{Name: "far", Type: w.c.Backends[0].Type, Settings: map[string]any{"url": w.store}}}
	near.run()
	w.wait(w.write())
	w.outage()
	var slowest time.Duration
	for begun := time.Now(); time.Since(begun) < 10*time.Second; {
		written := time.Now()
		w.wait(w.write())
		if d := time.Since(written); d > slowest {
			slowest = d
			t.Logf("%s at %s", d, time.Since(begun))
		}
	}
	t.Logf("the slowest of the writes took %s, pauses %d", slowest.Round(time.Millisecond), w.did("paused"))
	if n := w.did("paused"); n > 1 {
		t.Errorf("the backend was paused %d times", n)
	}
	w.proxy.Refuse(false)
	w.agrees()
}
