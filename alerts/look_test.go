package alerts_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/alerts"
	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/outbox"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// office is a database with one backend, and what its lookouts have delivered.
type office struct {
	t    *testing.T
	pool *pgxpool.Pool
	s    alerts.Settings
	fail error // of the next delivery

	mu   sync.Mutex
	told []string
	log  strings.Builder
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, pool: pgtest.New(t), s: alerts.Settings{
		Every: time.Nanosecond, Group: time.Nanosecond, Clear: time.Nanosecond, Sample: time.Nanosecond,
		Webhooks: []alerts.Webhook{{Name: "ops", URL: "http://x"}},
	}}
	o.exec(`select outbox.add_backend('main', 'fake', 1)`)
	return o
}

func (o *office) exec(sql string) {
	o.t.Helper()
	if _, err := o.pool.Exec(o.t.Context(), sql); err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
}

func (o *office) lookout() *alerts.Lookout {
	return alerts.NewLookout(o.pool, o.s, slog.New(slog.NewTextHandler(&o.log, nil)), func(_ context.Context, _ pgx.Tx, webhook string, m alerts.Message) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.fail != nil {
			return o.fail
		}
		for _, a := range m.Alerts {
			o.told = append(o.told, webhook+": "+a.Status+" "+a.ID)
		}
		return nil
	})
}

func (o *office) look(l *alerts.Lookout) {
	o.t.Helper()
	if err := l.Look(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

const park = `insert into outbox.parked (backend, kind, target, key, class, error, advice, version) values ('main', 'k', 't', '1', 'rejected', 'no', 'mend it', 1)`

// Of many lookouts at once one tells. Within the time between two looks no other looks at all.
func TestOneLooks(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.s.Every = time.Hour
	o.exec(park)
	var g errgroup.Group
	for range 8 {
		l := alerts.NewLookout(o.pool, o.s, slog.New(slog.DiscardHandler), func(context.Context, pgx.Tx, string, alerts.Message) error { return nil })
		g.Go(func() error { return l.Look(t.Context()) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	list, err := alerts.List(t.Context(), o.pool, false)
	if err != nil || len(list) != 1 || list[0].ID != "records-parked/main" || list[0].Told != "" {
		t.Fatalf("%+v, %v", list, err)
	}
	var n int
	if err := o.pool.QueryRow(t.Context(), `select count(*) from outbox.events where what = 'alerted'`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d events, %v", n, err)
	}
}

// A message that could not be given to River leaves nothing: the alert, the event and the message come with the next
// look, once. What is over is told, too; without webhooks nothing is, and what still fires is told once there is one.
func TestNothingIsHalfDone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.exec(park)
	l := o.lookout()
	o.look(l) // fires, and may wait for others
	o.fail = errors.New("as commanded")
	if err := l.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "having webhook ops told: as commanded") {
		t.Fatal(err)
	}
	o.fail = nil
	o.look(l)
	o.look(o.lookout()) // of another process
	o.exec(`delete from outbox.parked`)
	o.look(l)
	o.look(l)
	if want := []string{"ops: firing records-parked/main", "ops: resolved records-parked/main"}; !slices.Equal(o.told, want) {
		t.Errorf("told %v", o.told)
	}
	hooks := o.s.Webhooks
	o.s.Webhooks = nil
	o.exec(park)
	deaf := o.lookout()
	o.look(deaf)
	o.look(deaf)
	if len(o.told) != 2 {
		t.Errorf("told %v", o.told)
	}
	o.s.Webhooks = hooks
	o.look(o.lookout())
	if len(o.told) != 3 {
		t.Errorf("told %v", o.told)
	}
	if text := o.log.String(); !strings.Contains(text, "msg=alert alert=records-parked/main severity=warning") || !strings.Contains(text, "an alert is over") {
		t.Error(text)
	}
}

// What cannot be found out is logged once, and keeps no other alert from being found.
func TestBlindLookout(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.exec(park)
	o.exec(`alter table river.river_job rename to lost`)
	o.exec(`drop function outbox.check_watches()`)
	l := o.lookout()
	for range 3 {
		o.look(l)
	}
	if !slices.Contains(o.told, "ops: firing records-parked/main") {
		t.Errorf("told %v", o.told)
	}
	if n := strings.Count(o.log.String(), "some alerts cannot be looked for"); n != 1 || !strings.Contains(o.log.String(), "watch-drift") || !strings.Contains(o.log.String(), "verify-differs") {
		t.Errorf("logged %d times: %s", n, o.log.String())
	}
}

// What the database itself shows is found: a large log, an old transaction, a lag that is high, and one that will be.
func TestFoundInTheDatabase(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.s.LogBytes, o.s.DiskBytes, o.s.Transaction = 1, 1<<50, time.Nanosecond
	tx, err := o.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	o.exec(`insert into outbox.log (kind, keys, at) values ('k', '{a,b}', now() - interval '10 minutes')`)
	o.exec(`update outbox.lookout set next_sample = '2100-01-01'`)
	o.exec(`insert into outbox.samples (at, backend, lag_changes, lag_seconds) select now() - g * interval '1 minute', 'main', 1, 220 - g * 3 from generate_series(0, 40) g`)
	l := o.lookout()
	o.look(l)
	list, err := alerts.List(t.Context(), o.pool, true)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, a := range list {
		found[a.ID] = a.Summary
	}
	for id, part := range map[string]string{
		"log-large": "more than 1 bytes", "transaction-old": "a transaction of process", "worker-absent/main": "nobody works 1 lane of main",
		"breach-predicted/main/lag": "main will be 5 minutes behind by",
	} {
		if !strings.Contains(found[id], part) {
			t.Errorf("%s: %q lacks %q, of %v", id, found[id], part, found)
		}
	}
	growths, err := alerts.Growths(t.Context(), o.pool)
	if g := growths["main"]; err != nil || !g.Growing || g.Lag != 220*time.Second {
		t.Errorf("%+v, %v", growths, err)
	}
	o.exec(`update outbox.lookout set next_sample = '-infinity'`)
	o.look(l)
	if list, err = alerts.List(t.Context(), o.pool, true); err != nil || !slices.ContainsFunc(list, func(a alerts.Alert) bool {
		return a.ID == "lag-high/main" && strings.Contains(a.Summary, "main is 10m0s behind: 2 changes")
	}) {
		t.Errorf("%+v, %v", list, err)
	}
}

// Samples are taken when they are due, with what processes made known, and kept for two days; so is what processes said
// for one.
func TestSamples(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.s.DiskBytes = 1 << 40
	o.exec(`insert into outbox.log (kind, keys) values ('k', '{a,b}')`)
	o.exec(`insert into outbox.samples (at, backend) values (now() - interval '3 days', 'main')`)
	row := health.Row{Backend: "main", Owner: "p", State: health.Healthy, Since: time.Now(), Details: health.Details{Written: 30, Requests: 5, P99: 12, Window: 30}}
	gone := row
	gone.Owner = "gone"
	for _, r := range []health.Row{row, gone} {
		if err := health.Publish(t.Context(), o.pool, r); err != nil {
			t.Fatal(err)
		}
	}
	o.exec(`update outbox.health set at = now() - interval '2 days' where owner = 'gone'`)
	o.look(o.lookout())
	var changes, written, requests, p99, bytes, disk float64
	var n, rows int
	if err := o.pool.QueryRow(t.Context(), `select count(*) over (), lag_changes, written, requests, p99_ms from outbox.samples where backend = 'main'`).Scan(&n, &changes, &written, &requests, &p99); err != nil {
		t.Fatal(err)
	}
	if err := o.pool.QueryRow(t.Context(), `select log_bytes, disk_bytes, (select count(*) from outbox.health) from outbox.samples where backend = ''`).Scan(&bytes, &disk, &rows); err != nil {
		t.Fatal(err)
	}
	if n != 1 || changes != 2 || written != 60 || requests != 10 || p99 != 12 || bytes == 0 || disk <= bytes || rows != 1 {
		t.Errorf("%d samples: %v changes, %v written, %v requests, p99 %v, %v bytes, %v of disk; %d rows of health", n, changes, written, requests, p99, bytes, disk, rows)
	}
}

// A process's say is told until it is withdrawn, and never when the process has ended; what is said of a backend that is
// gone is passed by.
func TestPublishedHealth(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	state := func() health.State {
		all, err := health.Read(t.Context(), o.pool)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0].State
	}
	say := func(owner, backend string, s health.State) {
		if err := health.Publish(t.Context(), o.pool, health.Row{Backend: backend, Owner: owner, State: s, Since: time.Now(), Reason: "why"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := outbox.Register(t.Context(), o.pool, outbox.Process{Owner: "a"}); err != nil {
		t.Fatal(err)
	}
	say("a", "main", health.Degraded)
	say("a", "main", health.Failing)
	say("a", "none", health.Down)
	if s := state(); s != health.Failing {
		t.Error(s)
	}
	if err := outbox.Leave(t.Context(), o.pool, "a"); err != nil {
		t.Fatal(err)
	}
	if s := state(); s != health.Unknown {
		t.Error(s)
	}
	say("b", "main", health.Healthy)
	if s := state(); s != health.Healthy {
		t.Error(s)
	}
	if err := health.Withdraw(t.Context(), o.pool, "b", "main"); err != nil {
		t.Fatal(err)
	}
	if s := state(); s != health.Unknown {
		t.Error(s)
	}
}
