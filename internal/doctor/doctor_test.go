package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// A database that is set up well has one complaint, that no worker runs; each check answers.
func TestHealthy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	found := Examine(t.Context(), w.c)
	seen := map[string]bool{}
	for _, f := range found {
		seen[f.Check] = true
		// A test server may run with fsync off, for speed.
		if f.Level == Problem && f.Check != "settings" || f.Level == Warning && f.Check != "workers" && f.Check != "settings" && f.Check != "connections" {
			t.Errorf("%+v", f)
		}
	}
	for _, k := range checks {
		if !seen[k.name] {
			t.Errorf("check %s says nothing", k.name)
		}
	}
	w.finds(found, "server", Note, "PostgreSQL")
	w.finds(found, "stores", Note, "main (postgres) answers in")
	w.finds(found, "workers", Warning, "no worker runs", "outflow run")
}

// A running worker is noticed.
func TestWorkerRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, err := jobs.New(t.Context(), w.c)
	w.ok(err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	for {
		found, err := workers(t.Context(), &patient{pool: w.pool, c: w.c})
		w.ok(err)
		if found[0].Level == Note {
			break
		}
	}
	stop()
	w.ok(<-ended)
}

// What writers' changes pass by is told, with the statement that mends it.
func TestWatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`alter table item disable trigger all`)
	found := Examine(t.Context(), w.c)
	if list := of(found, "watches"); len(list) == 0 || list[0].Level != Problem || list[0].Advice == "" {
		t.Errorf("disabled triggers: %+v", list)
	}
}

// What holds dead rows is told once it is old: open transactions and those that were prepared and forgotten.
func TestOldTransactions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx := w.begin()
	if _, err := tx.Exec(t.Context(), `select pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
	young, err := oldTransactions(t.Context(), &patient{pool: w.pool, old: time.Hour})
	w.ok(err)
	if len(young) != 0 {
		t.Errorf("a young transaction is no finding: %+v", young)
	}
	old, err := oldTransactions(t.Context(), &patient{pool: w.pool, old: 0})
	w.ok(err)
	if len(old) == 0 || old[0].Level != Warning {
		t.Errorf("an old transaction: %+v", old)
	}
}

// Settings that take away what the log promises are told, each with what to do.
func TestSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var name string
	w.ok(w.pool.QueryRow(t.Context(), `select current_database()`).Scan(&name))
	w.exec(`alter database ` + name + ` set statement_timeout = '5s'`)
	w.exec(`alter database ` + name + ` set default_transaction_read_only = off`)
	w.exec(`alter database ` + name + ` set synchronous_commit = off`)
	w.pool.Reset()
	found := Examine(t.Context(), w.c)
	w.finds(found, "settings", Warning, "statement_timeout is 5000 ms", "raise it")
	w.finds(found, "settings", Note, "synchronous_commit is off", "never run ahead")
}

// Backends that stand still, are gone from the configuration or were never set up are told, each with what to do.
func TestBackends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"behind", "old"} {
		tx := w.begin()
		w.ok(outbox.AddBackend(t.Context(), tx, name, "postgres", 1))
		w.ok(tx.Commit(t.Context()))
	}
	w.exec(`insert into outbox.log (kind, keys, at) values ('item', '{1}', now() - interval '5 minutes')`)
	w.ok(outbox.Pause(t.Context(), w.pool, "main", "operator", "new disks"))
	c := w.c
	c.Backends = append(c.Backends[:1:1], backends.Config{Name: "behind", Type: "postgres"}, backends.Config{Name: "new", Type: "postgres"})
	found, err := positions(t.Context(), &patient{pool: w.pool, c: c})
	w.ok(err)
	for i := range found {
		found[i].Check = "backends"
	}
	w.finds(found, "backends", Warning, "main is paused: new disks", "outflow resume main")
	w.finds(found, "backends", Problem, "behind is 5m", "nobody works it")
	w.finds(found, "backends", Warning, "old is not configured any more", "apply --prune")
	w.finds(found, "backends", Warning, "new is configured, and was never set up", "outflow apply")
}

// A store that is not there is a problem, told with the class's advice, and holds nothing up.
func TestStoreThatIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.c
	c.Backends = append(c.Backends[:1:1],
		backends.Config{Name: "gone", Type: "postgres", Settings: map[string]any{"url": "postgres://nobody:geheim@127.0.0.1:1/none"}},
		backends.Config{Name: "odd", Type: "postgres", Settings: map[string]any{"no such setting": 1}})
	found := Examine(t.Context(), c)
	w.finds(found, "stores", Note, "main (postgres)")
	w.finds(found, "stores", Problem, "gone: ")
	w.finds(found, "stores", Problem, "odd: ", "no such setting")
	for _, f := range found {
		if strings.Contains(f.Text+f.Advice, "geheim") {
			t.Errorf("a password is shown: %+v", f)
		}
	}
}

// Queries that do not fit, or read a table whole for each page, are told.
func TestProjections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &patient{pool: w.pool, c: w.c}
	p.c.Projections = []jobs.Projection{
		{Kind: "item", Backend: "main", Target: "wrong", Query: `select id as key, nothing from item where id = any($1::text[]::int[])`},
		{Kind: "item", Backend: "main", Target: "slow", Query: `select owner as key, v from item where owner = any($1::text[]::int[])`},
	}
	found, err := projections(t.Context(), p)
	w.ok(err)
	for i := range found {
		found[i].Check = "projections"
	}
	w.finds(found, "projections", Problem, "main/wrong", "nothing")
	w.finds(found, "projections", Warning, "main/slow", "reads the whole of public.item", "index")
}

// Queues that an operator paused, jobs that were given up and parked records are told.
func TestWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`insert into river.river_queue (name, paused_at, updated_at) values ('main', now(), now()), ('other', now(), now())`)
	w.exec(`update river.river_queue set metadata = '{"outflow_paused": true}' where name = 'other'`)
	w.exec(`insert into river.river_job (kind, args, state, finalized_at, max_attempts, queue, errors) values ('project', '{}', 'discarded', now(), 1, 'main', array['{"error": "no way"}'::jsonb])`)
	w.exec(`insert into outbox.parked (backend, kind, target, key, class, error, advice, version) values ('main', 'item', 'items', '7', 'rejected', 'too long', 'shorten it', 1)`)
	found := Examine(t.Context(), w.c)
	w.finds(found, "queues", Warning, "queue main is paused since", "River UI")
	w.finds(found, "queues", Warning, "1 jobs of kind project were given up", "no way")
	w.finds(found, "parked", Warning, "1 of kind item in main, such as 7: too long", "shorten it")
	if n := len(of(found, "queues")); n != 2 {
		t.Errorf("%d findings of queues: a queue paused because of its backend is none", n)
	}
}

// A log that is kept for longer than the retention is told.
func TestLogOutlivesItsRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`update outbox.log set at = now() - interval '8 days'`) // the fill of the backend
	w.finds(Examine(t.Context(), w.c), "log", Warning, "longer than the retention", "outflow status")
}

// A role without a worker's rights is told which ones it lacks.
func TestRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`grant usage on schema outbox, river to pg_monitor`)
	config := w.pool.Config().Copy()
	config.ConnConfig.RuntimeParams["role"] = "pg_monitor"
	pool := poolOf(t, config)
	found, err := rights(t.Context(), &patient{pool: pool})
	w.ok(err)
	for i := range found {
		found[i].Check = "rights"
	}
	w.finds(found, "rights", Problem, "outbox.log: insert", "grant_worker")
}

// A check that cannot be made is a problem, and the others are made all the same.
func TestChecksThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`drop function outbox.check_watches()`)
	found := Examine(t.Context(), w.c)
	w.finds(found, "watches", Problem, "it could not be looked at")
	w.finds(found, "server", Note, "PostgreSQL")
}
