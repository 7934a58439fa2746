package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// A record that is refused and then taken is not parked, also when the refusal is saved while it is being taken.
func TestSaveBetweenRefusalAndSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.patient()
	w.c.Settings.SaveEvery = 2 * time.Second
	refused := make(chan struct{}, 100)
	w.store.refuse = func(r backends.Record) *backends.Error {
		if !bytesHave(r.Doc, "poison") {
			return nil
		}
		refused <- struct{}{}
		return fails(backends.Rejected)
	}
	w.store.onWrite = func(ctx context.Context, _ int, rs []backends.Record) error {
		for parked := !bytesHave(rs[0].Doc, "good"); !parked && ctx.Err() == nil; { // until a save has come in between
			if err := w.pool.QueryRow(ctx, `select exists (select from outbox.parked)`).Scan(&parked); err != nil {
				return err
			}
		}
		return nil
	}
	_, stop := w.start()
	w.applied(rows(3)) // saved at once
	w.exec(`update item set v = 'poison' where id = 1`)
	<-refused
	w.exec(`update item set v = 'good' where id = 1`)
	w.has("1", "good")
	stop()
	if n := value[int](w, `select count(*) from outbox.parked`); n != 0 {
		t.Errorf("%d records are parked: want none", n)
	}
}

// A record that was refused, and so is in no store, does not stay parked when its table is emptied: saved or not.
func TestTruncateLeavesNothingParked(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]time.Duration{"saved": time.Millisecond, "not saved yet": 25 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.patient()
			w.c.Settings.SaveEvery = every
			refused := make(chan struct{}, 100)
			w.store.refuse = func(r backends.Record) *backends.Error {
				if !bytesHave(r.Doc, "poison") {
					return nil
				}
				refused <- struct{}{}
				return fails(backends.Rejected)
			}
			_, stop := w.start()
			w.applied(rows(3)) // saved at once
			w.exec(`insert into item values (9, 'poison')`)
			<-refused
			if every < time.Second {
				eventually(t, "it is parked", func() bool { return value[int](w, `select count(*) from outbox.parked`) == 1 })
			}
			w.exec(`truncate item`)
			eventually(t, "the store is empty", func() bool { return len(w.store.holds("items")) == 0 })
			eventually(t, "the log of the page was read", func() bool { return value[int](w, `select count(*) from outbox.log where backend is not null`) > 0 })
			stop()
			_, stop = w.start()
			w.applied(`select outbox.changed('item', array['999'])`)
			stop()
			if n := value[int](w, `select count(*) from outbox.parked`); n != 0 {
				t.Errorf("%d records are parked: want none", n)
			}
		})
	}
}
