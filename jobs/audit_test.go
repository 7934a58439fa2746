package jobs_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// trail is what is known of an item, as states of backend main, the oldest change first, with its reason.
func (w *world) trail(key string) (all *outbox.Trail, told string) {
	w.t.Helper()
	all, err := outbox.Audit(w.t.Context(), w.pool, outbox.AuditQuery{Kind: "item", Key: key})
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, c := range slices.Backward(all.Changes) {
		for _, d := range c.Deliveries {
			list = append(list, strings.TrimSpace(string(c.Why)+" "+d.State))
		}
	}
	return all, strings.Join(list, ", ")
}

// A record's audit tells of each change who made it, and in which trace and load; what the backend made of it, with which
// page, and who acknowledged that; why it was logged again; and what waits. A change of other records says nothing of it.
func TestAuditOfARecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.refuse = func(r backends.Record) *backends.Error {
		if !bytesHave(r.Doc, "poison") {
			return nil
		}
		return fails(backends.Rejected)
	}
	_, stop := w.start()
	w.drained() // the fill of the backend is over
	w.applied(`select set_config('outbox.headers', '{"load": "L", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}', true)`,
		`set local application_name = 'shop'`, `insert into item values (1, 'a'), (2, 'b')`)
	w.applied(`update item set v = 'poison' where id = 1`)
	w.applied(`update item set v = 'other' where id = 2`)
	w.applied(`delete from item where id = 1`)
	w.applied(`insert into item values (1, 'c')`)
	if err := outbox.RelogFor(t.Context(), w.pool, outbox.Repair, "main", "item", []string{"1"}, outbox.Cause{}); err != nil {
		t.Fatal(err)
	}
	w.drained()
	stop()
	w.exec(`update item set v = 'd' where id = 1`)
	all, told := w.trail("1")
	if want := "fill logged, written, parked, deleted, written, repair written, waiting"; told != want {
		t.Errorf("got %s, want %s", told, want)
	}
	first := all.Changes[len(all.Changes)-1]
	for _, c := range all.Changes {
		if c.Load == "L" {
			first = c
		}
	}
	user := value[string](w, `select session_user::text`)
	if first.Who != user || first.App != "shop" || first.Trace != "0af7651916cd43dd8448eb211c80319c" || first.Load != "L" {
		t.Errorf("who: %+v", first)
	}
	page := first.Deliveries[0].Page
	if page == nil || page.Owner == "" || page.Written != 2 || page.To < page.From || page.From == 0 || page.SavedAt.Before(first.At) {
		t.Errorf("page: %+v", page)
	}
	held, err := jobs.Held(t.Context(), w.c, "", "item", "1")
	last := all.Changes[1].Deliveries[0].Page
	if err != nil || len(held) != 1 || !held[0].Held || held[0].Version != last.To {
		t.Errorf("held: %v, %v, want version %d", held, err, last.To)
	}
}

// The prune job deletes pages and events that are older than the audit's retention, and none that are younger.
func TestPruneAuditAndHistory(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	w := &world{t: t, pool: pool}
	w.exec(`create table item (id int primary key, v text)`)
	w.exec(`select outbox.watch('item', history => true)`)
	w.exec(`insert into item select i, 'x' from generate_series(1, 5000) i`)
	w.exec(`update outbox.transactions set at = at - interval '2 days'`)
	w.exec(`update item set v = 'y' where id = 1`)
	w.exec(`insert into outbox.events (what, who, at) values ('old', 'me', now() - interval '2 days'), ('new', 'me', now())`)
	w.exec(`insert into outbox.pages (backend, lane, lo, hi, owner, epoch, since, position, pages, rows, written, deleted, stale, parked, saved_at)
select 'b', 0, 0, 1, 'o', 1, '1:1:', '1:1:', i, 1, 1, 0, 0, 0, now() - i * interval '30 hours' from generate_series(0, 1) i`)
	old := value[string](w, `select min(tx::text::bigint)::text from outbox.transactions`)
	for range 10 {
		if _, err := outbox.PruneAudit(t.Context(), pool, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := outbox.PruneHistory(t.Context(), pool, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	got := value[string](w, `select concat_ws(' ', (select string_agg(what, ',') from outbox.events), (select string_agg(pages::text, ',') from outbox.pages),
 (select count(*) from outbox.transactions), (select count(*) from outbox.previous))`)
	if got != "new 0 1 1" {
		t.Errorf("left: %s", got)
	}
	if why := value[string](w, `select string_agg(p, ';') from outbox.undo_problems(array[$1::xid8]) p`, old); !strings.Contains(why, "older than what is kept") {
		t.Errorf("reverting what was pruned: %s", why)
	}
}
