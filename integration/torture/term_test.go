package main

import (
	"testing"
	"time"
)

// A worker that gets SIGTERM with its hands full finishes its pages, saves where it is, lets go of its lanes, says that
// it is gone, and exits with 0: whoever comes next has nothing to suspect and nothing to repeat.
func TestTerm(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	o := tortureOptions(t)
	o.Writers, o.Workers, o.Round = 0, 1, time.Second
	run := prepared(t, o)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(run.fleet.revive())
	must(run.settle(ctx))
	must(run.surge(ctx))
	must(run.fleet.term(run.fleet.process(0)))

	var held, formers, present, parked int
	must(run.pool.QueryRow(ctx, `
select count(*) filter (where owner is not null), count(*) filter (where formers <> '{}'),
       (select count(*) from outbox.owners where gone_at is null),
       (select count(*) from outbox.parked)
  from outbox.lanes`).Scan(&held, &formers, &present, &parked))
	if held+formers+present+parked > 0 {
		t.Errorf("%d lanes are held, %d have former owners, %d processes are present, %d records parked: want none", held, formers, present, parked)
	}
	must(run.fleet.revive())
	must(run.settle(ctx))
	must(run.compare(ctx))
	for _, err := range run.failures {
		t.Error(err)
	}
	var suspects int
	must(run.pool.QueryRow(ctx, `select last_value - 1 + is_called::int from outbox.suspects_id_seq`).Scan(&suspects))
	if suspects > 0 {
		t.Errorf("%d rows of suspects were made, want none", suspects)
	}
}
