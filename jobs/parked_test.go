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
