package outbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

// A value of the header on_reject that means nothing is refused by whichever way it comes in, and so is a load with a name
// that is too long to be reverted by; the error names the header. Good ones are not.
func TestOnRejectIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key); select outbox.watch('t')`)
	long := strings.Repeat("x", 501)
	for sql, want := range map[string]string{
		`set local outbox.headers = '{"on_reject": "undo"}'; insert into t values (1)`:                                `header on_reject is "undo", must be "park" or "revert"`,
		`set local outbox.headers = '{"on_reject": true}'; insert into t values (1)`:                                  `header on_reject is true`,
		`select outbox.changed('t', '{1}', '{"on_reject": "Revert"}')`:                                                `header on_reject is "Revert"`,
		`set local outbox.headers = '{"on_reject": "revert", "load": "` + long + `"}'; insert into t values (1)`:      `header load has 501 bytes, at most 500 are allowed with on_reject`,
		`set local outbox.headers = '{"on_reject": "park", "load": "` + long + `"}'; insert into t values (2)`:        ``,
		`set local outbox.headers = '{"on_reject": "revert", "load": "` + long[1:] + `"}'; insert into t values (3)`:  ``,
		`set local outbox.headers = '{"traceparent": "00-1"}'; select outbox.changed('t', '{1}', '{"load": "nice"}')`: ``,
	} {
		_, err := w.pool.Exec(t.Context(), "begin; "+sql+"; commit", pgx.QueryExecModeSimpleProtocol)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %v, want %q", sql, err, want)
		}
	}
	w.ok(pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		for field, headers := range map[string]map[string]string{
			"on_reject": {OnRejectHeader: "undo"}, "load": {OnRejectHeader: OnRejectRevert, LoadHeader: long},
		} {
			bad, ok := errors.AsType[*InputError](SetHeaders(t.Context(), tx, headers))
			if !ok || bad.Argument != "headers" || bad.Field != field {
				t.Errorf("%v: got %v, want an InputError for headers.%s", headers, bad, field)
			}
		}
		return SetHeaders(t.Context(), tx, map[string]string{OnRejectHeader: OnRejectRevert, LoadHeader: long[1:]})
	}))
}

// rows are what a page reads for a backend.
func (w world) rowsOf(backend string) (rows []Row) {
	w.Helper()
	found, err := w.pool.Query(w.Context(), pageSQL, pageArgs(Position{At: Snapshot{xmin: 1, xmax: 1}}, 100, backend)...)
	w.ok(err)
	rows, err = pgx.CollectRows(found, scanRow)
	w.ok(err)
	return rows
}

// A page says of its rows which write they belong to if that asks to be reverted, and nothing of all others: the load, or
// the transaction; and of rows that a reader has logged itself, the write that they follow from. Peeks say the same.
func TestRowsSayWhatAsksToBeReverted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	before, err := Now(t.Context(), w.pool)
	w.ok(err)
	log := func(headers string) uint64 {
		return w.did(`insert into outbox.log (kind, keys, headers) values ('k', '{1}', ` + headers + `)`)
	}
	log(`null`)
	log(`'{"on_reject": "park", "load": "L"}'`)
	load, alone := log(`'{"on_reject": "revert", "load": "L"}'`), log(`'{"on_reject": "revert"}'`)
	for _, of := range []Revertible{{"L", load}, {"", alone}, {}} {
		w.ok(RelogOf(t.Context(), w.pool, Dependant, "b", "d", []string{"2"}, Cause{load, alone}, of))
	}
	var got []Revertible
	for _, r := range w.rowsOf("b") {
		got = append(got, r.Revertible)
	}
	if diff := cmp.Diff([]Revertible{{}, {}, {"L", load}, {"", alone}, {"L", load}, {"", alone}, {}}, got); diff != "" {
		t.Error(diff)
	}
	page, _, err := NewReader(w.pool, tenure, nil).Peek(t.Context(), before, 10, func(context.Context, *pgx.Conn, *Page) error { return nil })
	w.ok(err)
	if diff := cmp.Diff([]Revertible{{"L", load}, {"", alone}}, page.Revertible("k", "1")); diff != "" {
		t.Error(diff)
	}
	if none := append(page.Revertible("k", "2"), (*Page)(nil).Revertible("k", "1")...); none != nil {
		t.Errorf("got %v, want none", none)
	}
}

// A transaction of a load of which a record was refused is late if no try to revert it knew of it, as long as it is written
// within the time that the load has for that: then it is another load of the same name.
func TestLateTransactionsOfALoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	write := func() {
		w.did(`insert into outbox.log (kind, keys, headers) values ('k', '{1}', '{"on_reject": "revert", "load": "L"}')`)
	}
	late := func(want ...bool) {
		t.Helper()
		var got []bool
		for _, r := range w.rowsOf("b") {
			got = append(got, r.Late)
		}
		if !slices.Equal(got, want) {
			t.Errorf("late are %v, want %v", got, want)
		}
	}
	write()
	late(false)
	w.exec(`insert into outbox.reversals (what, id, backend, kind, key, reason) values ('load', 'L', 'b', 'k', '1', 'x'), ('load', 'M', 'b', 'k', '1', 'x')`)
	late(true) // no try was made yet
	w.exec(`update outbox.reversals set seen = pg_current_snapshot()`)
	late(false)
	write()
	late(false, true)
	w.exec(`insert into outbox.log (kind, keys, headers) values ('k', '{1}', '{"load": "L"}'); insert into outbox.log (kind, keys, headers, backend) values ('k', '{1}', '{"on_reject": "revert", "load": "L", "transaction": "7"}', 'b')`)
	late(false, true, false, false)
	w.exec(`update outbox.reversals set until = clock_timestamp()`)
	write()
	late(false, true, false, false, false)
	page := Collect(Position{}, target, all, w.rowsOf("b"), 100)
	if len(page.Late) != 1 || page.Late[0].Load != "L" {
		t.Errorf("late of the page are %v, want one of load L", page.Late)
	}
}

// Rejected answers for the time that a load which was refused has, and only for that load; a new history of the database
// and the pruning of the audit forget it.
func TestRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const row = `insert into outbox.reversals (what, id, backend, kind, key, reason) values ('load', 'L', 'search', 'item', '1', 'secret'), ('transaction', 'M', 'b', 'k', '1', 'x')`
	ask := func(load, want string) {
		t.Helper()
		why, err := Rejected(t.Context(), w.pool, load)
		w.ok(err)
		if why != want {
			t.Errorf("load %s: got %q, want %q", load, why, want)
		}
	}
	w.exec(row)
	ask("L", "backend search refused a record of kind item")
	ask("M", "")
	w.exec(`update outbox.reversals set until = clock_timestamp()`)
	ask("L", "")
	_, err := PruneAudit(t.Context(), w.pool, time.Hour)
	w.ok(err)
	w.want("2", `select count(*) from outbox.reversals`)
	w.exec(`update outbox.reversals set asked_at = clock_timestamp() - interval '2 hours' where what = 'load'`)
	_, err = PruneAudit(t.Context(), w.pool, time.Hour)
	w.ok(err)
	w.want("transaction", `select string_agg(what, ',') from outbox.reversals`)
	w.exec(`update outbox.history set system_id = 'another'`)
	_, err = Rebase(t.Context(), w.pool)
	w.ok(err)
	w.want("0", `select count(*) from outbox.reversals`)
}

// Whatever rows a page has, what ChangedBy answers is exactly its changed keys: with each write that asks to be reverted, those that it
// changed, and the others by themselves. Revertible answers the same writes for each key, and those that a key follows from.
func TestWritesOfAPage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		half := Range{0, 1 << 31}
		var rows []Row
		for i := range rapid.IntRange(0, 12).Draw(t, "rows") {
			r := Row{Place: Place{uint64(i/3 + 1), int64(i)}, Kind: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "kind"), Only: rapid.Bool().Draw(t, "only")}
			r.Keys = rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2", "3", "4", "5"}), 1, 4).Draw(t, "keys")
			if load := rapid.SampledFrom([]string{"", "L", "M", "-"}).Draw(t, "load"); load != "-" {
				r.Revertible = Revertible{load, r.Tx}
			}
			rows = append(rows, r)
		}
		page := Collect(Position{}, target, half, rows, 100)
		for _, kind := range []string{"a", "b"} {
			want, asked := map[Revertible][]string{}, map[string]bool{}
			for _, k := range page.Keys[kind] {
				var writes []Revertible
				for _, r := range rows {
					if r.Kind != kind || r.Revertible == (Revertible{}) || !slices.Contains(r.Keys, k) {
						continue
					}
					if !slices.Contains(writes, r.Revertible) {
						writes = append(writes, r.Revertible)
					}
					if !r.Only && !slices.Contains(want[r.Revertible], k) {
						want[r.Revertible], asked[k] = append(want[r.Revertible], k), true
					}
				}
				if diff := cmp.Diff(writes, page.Revertible(kind, k)); diff != "" {
					t.Fatal(diff)
				}
			}
			for _, k := range page.Changed[kind] {
				if !asked[k] {
					want[Revertible{}] = append(want[Revertible{}], k)
				}
			}
			got := map[Revertible][]string{}
			for _, c := range page.ChangedBy(kind) {
				got[c.Write] = append(got[c.Write], c.Keys...)
			}
			if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}
