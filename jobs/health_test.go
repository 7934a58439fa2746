package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// receiver is a webhook that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	fails int // the first so many messages are refused
	tried int
	got   []alerts.Message
	body  [][]byte
	heads []http.Header
}

func newReceiver(t *testing.T, fails int) *receiver {
	t.Helper()
	r := &receiver{fails: fails}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		var m alerts.Message
		if r.tried++; r.tried <= r.fails || err != nil || json.Unmarshal(body, &m) != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		r.got, r.body, r.heads = append(r.got, m), append(r.body, body), append(r.heads, q.Header)
	}))
	t.Cleanup(r.Close)
	return r
}

// told counts the messages about an alert with a status.
func (r *receiver) told(id, status string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, m := range r.got {
		for _, a := range m.Alerts {
			if a.ID == id && a.Status == status {
				n++
			}
		}
	}
	return n
}

// watched makes the world look often, and tell a webhook.
func (w *world) watched(hook *receiver) {
	w.c.Health = health.Pace{Look: 50 * time.Millisecond, Probe: 100 * time.Millisecond, Quick: 20 * time.Second, Late: 30 * time.Second, Publish: time.Second}
	w.c.Alerts = alerts.Settings{Every: 100 * time.Millisecond, Clear: 200 * time.Millisecond, Group: 50 * time.Millisecond, Failing: 200 * time.Millisecond, Sample: 200 * time.Millisecond}
	if hook != nil {
		w.c.Alerts.Webhooks = []alerts.Webhook{{URL: hook.URL + "/T0/geheim", Headers: map[string]string{"Authorization": "Bearer geheim"}, Secret: "geheim"}}
	}
}

// health is how the backend is, all processes together.
func (w *world) health() health.Backend {
	w.t.Helper()
	all, err := health.Read(context.WithoutCancel(w.t.Context()), w.pool)
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(b health.Backend) bool { return b.Name == "main" })
	if i < 0 {
		w.t.Fatal("no backend main")
	}
	return all[i]
}

func (w *world) becomes(want ...health.State) {
	w.t.Helper()
	eventually(w.t, "the backend is "+string(want[0]), func() bool { return slices.Contains(want, w.health().State) })
}

// A store that is cut is down, and healthy again once it is back. Of two processes that see it one tells: its alert
// fires once, is over once, and both reach the webhook, which refuses at first, once each. No secret is in a job.
func TestCutStoreAlertsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := newReceiver(t, 2)
	w.watched(hook)
	var cut atomic.Bool
	w.store.set(func(f *fake) {
		f.onHealth = func() error {
			if cut.Load() {
				return fails(backends.Transient)
			}
			return nil
		}
		f.onWrite = func(context.Context, int, []backends.Record) error {
			if cut.Load() {
				return fails(backends.Transient)
			}
			return nil
		}
	})
	_, stop := w.start()
	_, stopOther := w.run()
	w.applied(rows(3))
	w.becomes(health.Healthy)
	eventually(t, "both processes say so", func() bool { return w.health().Processes == 2 })

	cut.Store(true)
	token := w.write(`update item set v = 'x'`)
	w.becomes(health.Down)
	if b := w.health(); !strings.Contains(b.Reason, "as commanded") {
		t.Errorf("why: %q", b.Reason)
	}
	const id = "backend-failing/main"
	eventually(t, "the webhook is told", func() bool { return hook.told(id, alerts.StatusFiring) > 0 })

	cut.Store(false)
	w.wait(token)
	w.becomes(health.Healthy, health.Degraded) // some requests of the window have failed
	eventually(t, "the webhook is told that it is over", func() bool { return hook.told(id, alerts.StatusResolved) > 0 })
	eventually(t, "nothing is to be delivered any more", func() bool {
		return value[int](w, `select count(*)::int from river.river_job where kind = 'alert' and state <> 'completed'`) == 0
	})
	if fired, over := hook.told(id, alerts.StatusFiring), hook.told(id, alerts.StatusResolved); fired != 1 || over != 1 {
		t.Errorf("told %d times that it fires and %d times that it is over", fired, over)
	}
	if n := value[int](w, `select count(*)::int from outbox.events where what = 'alerted' and details->>'alert' = $1`, id); n != 1 {
		t.Errorf("%d events of the alert", n)
	}
	if n := value[int](w, `select count(*)::int from river.river_job where to_jsonb(river_job)::text like '%geheim%'`); n != 0 {
		t.Errorf("%d jobs hold a secret", n)
	}
	stop()
	if b := w.health(); b.Processes != 1 {
		t.Errorf("%d processes after one has ended", b.Processes)
	}
	stopOther()
	if b := w.health(); b.State != health.Unknown {
		t.Errorf("%+v after all have ended", b)
	}
	for i, h := range hook.heads {
		if h.Get("Authorization") != "Bearer geheim" || h.Get(alerts.HeaderID) != hook.got[i].ID || !strings.HasPrefix(h.Get(alerts.HeaderSignature), "t=") {
			t.Errorf("headers %v", h)
		}
	}
}

// A health check that does not come back holds nothing up: the backend is down for it, and records are written.
func TestStuckProbeHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.watched(nil)
	w.c.Health.Late = 200 * time.Millisecond
	stuck := make(chan struct{})
	f := &stuckProbe{fake: w.store, stuck: stuck}
	fakes.Store(t.Name()+"stuck", f)
	w.c.Backends[0].Settings["id"] = t.Name() + "stuck"
	w.start()
	t.Cleanup(func() { close(stuck) }) // before the engine is stopped
	w.becomes(health.Down, health.Failing)
	if b := w.health(); !strings.Contains(b.Reason, "no answer within 200ms") {
		t.Errorf("why: %q", b.Reason)
	}
	w.applied(rows(5))
	w.agrees()
}

// stuckProbe does not end its health checks, whatever their context says.
type stuckProbe struct {
	*fake
	stuck chan struct{}
}

func (s *stuckProbe) Health(context.Context) error {
	<-s.stuck
	return nil
}

// A paused backend is paused at once, with the reason; a slow health check, and an endpoint that is down, make it degraded.
func TestPausedAndDegraded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.watched(nil)
	w.c.Health.Quick = time.Hour
	f := &manyEndpoints{fake: w.store}
	f.list.Store(&[]backends.Endpoint{{Address: "a:1", State: backends.EndpointUp, Latency: time.Millisecond}})
	fakes.Store(t.Name()+"many", f)
	w.c.Backends[0].Settings["id"] = t.Name() + "many"
	w.start()
	w.becomes(health.Healthy)
	f.list.Store(&[]backends.Endpoint{{Address: "a:1", State: backends.EndpointUp}, {Address: "b:1", State: backends.EndpointDown, Error: "no route"}})
	w.becomes(health.Degraded)
	eventually(t, "the endpoints are known", func() bool { return len(w.health().Endpoints) == 2 })
	if b := w.health(); b.Endpoints[1].State != health.Down || !strings.Contains(b.Reason, "endpoint b:1 is down: no route") {
		t.Errorf("%+v", b)
	}
	if err := outbox.Pause(t.Context(), w.pool, "main", "operator", "new disks"); err != nil {
		t.Fatal(err)
	}
	if b := w.health(); b.State != health.Paused || b.Reason != "new disks" {
		t.Errorf("%+v", b)
	}
	if err := outbox.Resume(t.Context(), w.pool, "main"); err != nil {
		t.Fatal(err)
	}
	w.becomes(health.Degraded)
}

// manyEndpoints is a store that knows its endpoints apart.
type manyEndpoints struct {
	*fake
	list atomic.Pointer[[]backends.Endpoint]
}

func (m *manyEndpoints) Endpoints() []backends.Endpoint { return *m.list.Load() }

// Probe finds b:1 down.
func (m *manyEndpoints) Probe(_ context.Context, address string) error {
	if address == "b:1" {
		return fails(backends.Transient)
	}
	return nil
}

// What the engine pauses, parks and leaves behind is told, each once, whichever process looks; what follows from a pause
// is not told.
func TestAlertsOfAllSorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := newReceiver(t, 0)
	w.watched(hook)
	w.c.Alerts.Absent = 50 * time.Millisecond
	w.store.set(func(f *fake) {
		f.refuse = func(r backends.Record) *backends.Error {
			if r.Key == "2" {
				return fails(backends.Rejected)
			}
			return nil
		}
	})
	w.start()
	w.applied(rows(3))
	eventually(t, "the parked record is told", func() bool { return hook.told("records-parked/main", alerts.StatusFiring) == 1 })

	w.exec(`select outbox.add_backend('other', 'fake', 2)`) // of which no process knows
	w.write(`update item set v = 'y' where id = 1`)
	eventually(t, "that nobody works it is told", func() bool { return hook.told("worker-absent/other", alerts.StatusFiring) == 1 })
	w.exec(`delete from outbox.backends where name = 'other'`)
	eventually(t, "and that this is over", func() bool { return hook.told("worker-absent/other", alerts.StatusResolved) == 1 })

	w.exec(`alter table item disable trigger all`)
	eventually(t, "drift is told", func() bool { return hook.told("watch-drift//item", alerts.StatusFiring) == 1 })
	w.exec(`alter table item enable trigger all`)
	eventually(t, "and that it is over", func() bool { return hook.told("watch-drift//item", alerts.StatusResolved) == 1 })

	w.store.set(func(f *fake) { delete(f.targets["items"], "3") })
	w.enqueue(jobs.VerifyArgs{Backend: "main"}, "main")
	eventually(t, "differences are told", func() bool { return hook.told("verify-differs/main", alerts.StatusFiring) == 1 })
	w.enqueue(jobs.VerifyArgs{Backend: "main", Repair: true}, "main")
	w.drained()
	w.store.set(func(f *fake) { f.refuse = nil })
	w.applied(`update item set v = 'z'`)
	w.enqueue(jobs.VerifyArgs{Backend: "main"}, "main")
	eventually(t, "and that there are none any more", func() bool { return hook.told("verify-differs/main", alerts.StatusResolved) == 1 })
	eventually(t, "nothing is parked any more", func() bool { return hook.told("records-parked/main", alerts.StatusResolved) == 1 })
}

// A message for a webhook that no process knows any more is not tried for ever, and one that is old is given up.
func TestWebhookThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.watched(nil)
	w.start()
	w.exec(`insert into river.river_job (kind, args, max_attempts, queue, created_at) values ('alert', '{"webhook": "gone", "message": {"alerts": []}}', 100, 'maintenance', now() - interval '7 hours')`)
	eventually(t, "the job is given up", func() bool {
		return value[bool](w, `select exists (select from river.river_job where kind = 'alert' and state = 'cancelled' and errors::text like '%no worker has a webhook%')`)
	})
}

// Wrong settings of alerts are told, without their addresses; others make the engine start anew.
func TestAlertSettingsAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Alerts.Webhooks = []alerts.Webhook{{URL: "ftp://geheim"}, {Name: "webhook-1", URL: "https://x", Format: "xml"}}
	w.c.Alerts.Off = []string{"no-rule"}
	_, err := jobs.New(t.Context(), w.c)
	if err == nil {
		t.Fatal("taken")
	}
	if e := containsAll(err.Error(), "webhook 1 is none of http or https", "webhook webhook-1 is there twice", "the format of webhook 2", `no rule is named "no-rule"`); e != nil || strings.Contains(err.Error(), "geheim") {
		t.Error(err)
	}
	w.c.Alerts = alerts.Settings{}
	e, _ := w.start()
	changed := w.c
	changed.Alerts.Lag = time.Hour
	if err := e.Change(t.Context(), changed); !errors.Is(err, jobs.ErrRestart) {
		t.Errorf("another bound: %v", err)
	}
}

// Stores are asked from outside, each endpoint by itself: one that answers is healthy, one that is slow or has an
// endpoint that does not answer is degraded, one that does not answer or cannot be opened is down.
func TestProbeAsksStores(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.c.Health = health.Pace{Quick: time.Minute, Late: 50 * time.Millisecond}
	slow := newFake(t)
	slow.onHealth = func() error { time.Sleep(2 * time.Millisecond); return nil }
	deaf := &deafStore{fake: newFake(t)}
	fakes.Store(t.Name()+"deaf", deaf)
	many := &manyEndpoints{fake: newFake(t)}
	many.list.Store(&[]backends.Endpoint{{Address: "a:1", State: backends.EndpointUp}, {Address: "b:1", State: backends.EndpointUp}})
	fakes.Store(t.Name()+"many", many)
	named := func(name, id string) backends.Config {
		return backends.Config{Name: name, Type: "fake", Settings: map[string]any{"id": id}}
	}
	w.c.Backends = append(w.c.Backends, slow.config(t, "slow"), named("deaf", t.Name()+"deaf"), named("many", t.Name()+"many"), named("lost", "none"))
	list, err := jobs.Probe(t.Context(), w.c)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		state  health.State
		reason string
	}{{health.Healthy, ""}, {health.Healthy, ""}, {health.Down, "no answer within 50ms"}, {health.Degraded, "endpoint b:1 is down"}, {health.Down, "no such fake"}} {
		if p := list[i]; p.State != want.state || !strings.Contains(p.Reason, want.reason) || p.State == health.Healthy && p.Took <= 0 {
			t.Errorf("%+v, want %v", p, want)
		}
	}
	if e := list[3].Endpoints; len(e) != 2 || e[0].State != health.Healthy || e[1].Reason != "transient: as commanded" {
		t.Errorf("%+v", e)
	}
	w.c.Health = health.Pace{Quick: time.Nanosecond}
	if list, err = jobs.Probe(t.Context(), w.c); err != nil || list[1].State != health.Degraded || list[3].Endpoints[0].State != health.Degraded {
		t.Errorf("%+v, %v", list, err)
	}
	w.c.Pool = nil
	if _, err := jobs.Probe(t.Context(), w.c); err == nil {
		t.Error("without a pool")
	}
}

// deafStore does not answer health checks until it is told to give up.
type deafStore struct{ *fake }

func (deafStore) Health(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}
