package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Bounds of what events say about records that were retried or dropped together.
const (
	eventRecords = 100 // up to so many have an event each; of more, so many have, and one event sums all of them up
	eventSample  = 10  // that one names so many
)

// Spreading stands for a target of records that are parked because the keys of their dependants could not be found.
const Spreading = "(dependants)"

// RetryParked puts the keys of parked records into the log again, for their backends, and answers how many records that
// are. They stay parked until they have been written: a record that is refused again counts one attempt more. It notes
// what it does with the reason: an event retried for each of up to 100 records, and one for all of more.
func RetryParked(ctx context.Context, db Beginner, f ParkedFilter, reason string) (int64, error) {
	n, err := changeParked(ctx, db, f, Event{What: "retried", Reason: reason}, `
with p as (select p.backend, p.kind, p.target, p.key, p.group_id, p.class, p.error from outbox.parked p`+parkedWhere+`),
k as (select backend, kind, key, (row_number() over (partition by backend, kind order by key) - 1) / 500 as part
        from (select distinct case when target <> $9 then backend end as backend, kind, key from p) d),
again as (insert into outbox.log (kind, keys, backend, headers) select kind, array_agg(key), backend, '{"retry": true}' from k group by backend, kind, part)`,
		Spreading)
	if err != nil {
		return 0, fmt.Errorf("logging again what is parked: %w", err)
	}
	return n, nil
}

// DropParked forgets parked records, and answers how many. Their backends keep what they have of them, so that verify
// reports them as missing or different from then on, until they are written or repaired. It notes what it does with the
// reason, which must not be empty, in the same transaction: an event dropped for each of up to 100 records, and one for
// all of more.
func DropParked(ctx context.Context, db Beginner, f ParkedFilter, reason string) (int64, error) {
	if reason == "" {
		return 0, errors.New("dropping what is parked: a reason is missing")
	}
	n, err := changeParked(ctx, db, f, Event{What: "dropped", Reason: reason}, `
with p as (delete from outbox.parked p`+parkedWhere+` returning p.backend, p.kind, p.target, p.key, p.group_id, p.class, p.error)`)
	if err != nil {
		return 0, fmt.Errorf("dropping what is parked: %w", err)
	}
	return n, nil
}

// changeParked does something with parked records, which sql names p, and notes it. The statement's parameters are those
// of the filter, how many records to name, and more.
func changeParked(ctx context.Context, db Beginner, f ParkedFilter, as Event, sql string, more ...any) (n int64, err error) {
	err = inTx(ctx, db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql+`
select count(*) over (), backend, kind, target, key, group_id, class, error from p order by backend, kind, key, target limit $8`,
			f.args(append([]any{eventRecords}, more...)...)...)
		if err != nil {
			return err
		}
		var events []Event
		var r ParkedRecord
		_, err = pgx.ForEachRow(rows, []any{&n, &r.Backend, &r.Kind, &r.Target, &r.Key, &r.Group, &r.Class, &r.Error}, func() error {
			e := as
			e.Backend, e.Kind, e.Key = r.Backend, r.Kind, r.Key
			e.Details = map[string]any{"target": r.Target, "group": r.Group, "class": r.Class, "error": r.Error}
			events = append(events, e)
			return nil
		})
		if err != nil {
			return err
		}
		if n > int64(len(events)) {
			events = append(events, summary(as, f, n, events))
		}
		return Note(ctx, tx, events...)
	})
	return n, err
}

// summary is the event for n records, of which some have events of their own.
func summary(as Event, f ParkedFilter, n int64, some []Event) Event {
	var sample []map[string]any
	for _, e := range some[:min(len(some), eventSample)] {
		sample = append(sample, map[string]any{"backend": e.Backend, "kind": e.Kind, "target": e.Details["target"], "key": e.Key, "error": e.Details["error"]})
	}
	as.Backend, as.Kind = f.Backend, f.Kind
	as.Details = map[string]any{"records": n, "filter": f.text(), "sample": sample}
	return as
}
