package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/projection"
	"github.com/outflow-db/outflow/outbox"
)

// rights looks whether this role may do what a worker does.
func rights(ctx context.Context, p *patient) ([]Finding, error) {
	var missing []string
	if err := p.pool.QueryRow(ctx, `
select coalesce(array_agg(t || ': ' || r order by t, r), '{}')
  from unnest(array['outbox.log', 'outbox.lanes', 'outbox.backends', 'outbox.parked', 'outbox.suspects', 'river.river_job']) t,
       unnest(array['select', 'insert', 'update', 'delete']) r
 where not has_table_privilege(t, r)`).Scan(&missing); err != nil {
		return nil, err
	}
	if len(missing) == 0 {
		return nil, nil
	}
	return one(Problem, "as the owner of the schema: select outbox.grant_worker('worker'::regrole)", "this role lacks rights: %s", strings.Join(missing, ", ")), nil
}

// projections looks whether their queries fit the tables, and whether indexes serve them.
func projections(ctx context.Context, p *patient) ([]Finding, error) {
	var list []Finding
	for _, j := range p.c.Projections {
		name := fmt.Sprintf("kind %s into %s/%s", j.Kind, j.Backend, j.Target)
		_, sources, err := projection.Describe(ctx, p.pool, j.Query)
		if err != nil {
			list = append(list, one(Problem, "mend its query", "%s: %v", name, err)...)
			continue
		}
		for _, source := range sources {
			var may bool
			if err := p.pool.QueryRow(ctx, `select has_table_privilege($1, 'select')`, source).Scan(&may); err != nil {
				return list, err
			}
			if !may {
				list = append(list, one(Problem, "grant select on "+source+" to the worker's role", "%s: this role may not read %s", name, source)...)
			}
		}
		whole, err := projection.WholeReads(ctx, p.pool, j.Query)
		if err != nil {
			list = append(list, one(Problem, "mend its query", "%s: %v", name, err)...)
		}
		for _, table := range whole {
			list = append(list, one(Warning, "index the columns by which the query finds "+table+" from keys", "%s: each page reads the whole of %s", name, table)...)
		}
	}
	return list, nil
}

// positions compares the backends of the database with those configured, and looks for those that stand still.
func positions(ctx context.Context, p *patient) ([]Finding, error) {
	all, err := outbox.Status(ctx, p.pool)
	if err != nil {
		return nil, err
	}
	var list []Finding
	known := map[string]bool{}
	for _, b := range all {
		known[b.Name] = true
		list = append(list, judgeBackend(b, p.configured(b.Name))...)
	}
	for _, b := range p.c.Backends {
		if !known[b.Name] {
			list = append(list, one(Warning, "outflow apply", "backend %s is configured, and was never set up", b.Name)...)
		}
	}
	return list, nil
}

func (p *patient) configured(name string) bool {
	for _, b := range p.c.Backends {
		if b.Name == name {
			return true
		}
	}
	return false
}

// behindMost is how far a backend that nobody works may be behind before that is said.
const behindMost = time.Minute

func judgeBackend(b outbox.BackendStatus, configured bool) []Finding {
	switch {
	case !configured:
		return one(Warning, "put it back, or forget it: outflow apply --prune", "backend %s is not configured any more, and the log is kept for it", b.Name)
	case b.Paused != "":
		return one(Warning, "mend the reason, then: outflow resume "+b.Name, "backend %s is paused: %s", b.Name, b.Paused)
	case b.State() == outbox.StateWaiting && b.Lag > behindMost:
		return one(Problem, "see that outflow run runs with this configuration, and that its queue is not paused", "backend %s is %s behind, and nobody works it", b.Name, b.Lag.Round(time.Second))
	}
	return nil
}

// Times of a store's answer.
const (
	healthMost = 5 * time.Second
	healthSlow = 100 * time.Millisecond
)

// stores asks every configured store whether it can serve, all at once.
func stores(ctx context.Context, p *patient) ([]Finding, error) {
	found := make([][]Finding, len(p.c.Backends))
	group, ctx := errgroup.WithContext(ctx)
	for i, b := range p.c.Backends {
		group.Go(func() error { found[i] = ask(ctx, b); return nil })
	}
	err := group.Wait()
	var list []Finding
	for _, f := range found {
		list = append(list, f...)
	}
	return list, err
}

// ask opens one store for the question.
func ask(ctx context.Context, c backends.Config) (list []Finding) {
	ctx, cancel := context.WithTimeout(ctx, healthMost)
	defer cancel()
	unwell := func(err error) []Finding {
		e := backends.AsError("health", c.Name, err)
		return one(Problem, e.What(), "%s: %v", c.Name, cause(e))
	}
	b, err := backends.Open(ctx, c)
	if err != nil {
		return unwell(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			list = append(list, unwell(err)...)
		}
	}()
	if err := b.Health(ctx); err != nil { // the first has to connect
		return unwell(err)
	}
	began := time.Now()
	if err := b.Health(ctx); err != nil {
		return unwell(err)
	}
	took := time.Since(began)
	level, advice := Note, ""
	if took > healthSlow {
		level, advice = Warning, "see how busy the store and the network are"
	}
	return one(level, advice, "%s (%s) answers in %s", c.Name, c.Type, took.Round(100*time.Microsecond))
}

// cause leaves out what the finding says anyway.
func cause(e *backends.Error) error {
	if e.Err != nil {
		return e.Err
	}
	return e
}

// workers tells which processes work here.
func workers(ctx context.Context, p *patient) ([]Finding, error) {
	var processes int
	if err := p.pool.QueryRow(ctx, `select count(distinct owner) from outbox.lanes where expires > clock_timestamp()`).Scan(&processes); err != nil {
		return nil, err
	}
	var leader *string
	err := p.pool.QueryRow(ctx, `select leader_id from river.river_leader where expires_at > now()`).Scan(&leader)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return one(Warning, "start one: outflow run", "no worker runs: nothing is projected and nothing is pruned"), nil
	case err != nil:
		return nil, err
	}
	return one(Note, "", "%d processes hold lanes right now, and a worker leads River", processes), nil
}

// queues looks for queues that were paused by hand, and for jobs that were given up.
func queues(ctx context.Context, p *patient) ([]Finding, error) {
	rows, err := p.pool.Query(ctx, `
select format('queue %s is paused since %s', name, to_char(paused_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), 'resume it in River UI'
  from river.river_queue where paused_at is not null and not metadata ? 'outflow_paused'
union all
select format('%s jobs of kind %s were given up in the last day; the last: %s', count(*), kind, left((array_agg(coalesce(errors[cardinality(errors)]->>'error', '?') order by finalized_at desc))[1], 200)),
       'mend the cause; project jobs come back by themselves, others are retried in River UI'
  from river.river_job where state = 'discarded' and finalized_at > now() - interval '1 day' group by kind`)
	if err != nil {
		return nil, err
	}
	var list []Finding
	var text, advice string
	_, err = pgx.ForEachRow(rows, []any{&text, &advice}, func() error {
		list = append(list, Finding{Level: Warning, Text: text, Advice: advice})
		return nil
	})
	return list, err
}

// parked tells what backends refused.
func parked(ctx context.Context, p *patient) ([]Finding, error) {
	groups, err := outbox.ParkedGroups(ctx, p.pool, outbox.ParkedFilter{})
	if err != nil {
		return nil, err
	}
	var list []Finding
	for _, g := range groups[:min(len(groups), 10)] {
		list = append(list, one(Warning, g.Advice, "%d of kind %s in %s, such as %s: %s", g.Records, g.Kind, g.Backend, g.Key, g.Error)...)
	}
	return list, nil
}
