package outbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// lives is a dumb model of a log that one lane reads, with its transactions, its crashes and its saves.
type lives struct {
	next    uint64   // transaction id
	ended   uint64   // the highest that ended
	running []uint64 // sorted
	rows    []Place  // of all transactions, in the order of writing
	done    map[uint64]bool

	pos, saved Position
	unsaved    []Place // rows of pages since the last save
	saves      []savedPage
	by         map[Place]int // which save a row was applied before, by index
}

type savedPage struct{ since, position Position }

func (l *lives) snapshot() Snapshot {
	s := Snapshot{xmax: l.ended + 1}
	for _, x := range l.running {
		if x < s.xmax {
			s.xip = append(s.xip, x)
		}
	}
	s.xmin = s.xmax
	if len(s.xip) > 0 {
		s.xmin = s.xip[0]
	}
	return s
}

func (l *lives) begin() {
	l.running = append(l.running, l.next)
	l.next++
}

func (l *lives) write(x uint64) { l.rows = append(l.rows, Place{x, int64(len(l.rows) + 1)}) }

func (l *lives) end(i int) {
	x := l.running[i]
	l.running = slices.Delete(l.running, i, i+1)
	l.ended, l.done[x] = max(l.ended, x), true
}

// read takes the next page of at most limit rows, by the definition of a delta and not by its SQL.
func (l *lives) read(limit int) {
	target := l.pos.Wants()
	if target.Zero() {
		target = l.snapshot()
	}
	var page []Place
	for _, r := range l.rows {
		if target.Visible(r.Tx) && !l.pos.Handled(r) {
			page = append(page, r)
		}
	}
	slices.SortFunc(page, func(a, b Place) int {
		if a.Before(b) {
			return -1
		}
		return 1
	})
	page = page[:min(limit, len(page))]
	var last Place
	if len(page) > 0 {
		last = page[len(page)-1]
	}
	l.pos = l.pos.Next(target, last, len(page) == limit)
	l.unsaved = append(l.unsaved, page...)
}

// save keeps what was applied, if anything was.
func (l *lives) save() {
	if len(l.unsaved) > 0 {
		for _, r := range l.unsaved {
			l.by[r] = len(l.saves)
		}
		l.saves = append(l.saves, savedPage{l.saved, l.pos})
	}
	l.saved, l.unsaved = l.pos, nil
}

func (l *lives) crash() { l.pos, l.unsaved = l.saved, nil }

// lived makes one history.
func lived(t *rapid.T) *lives {
	l := &lives{next: 10, ended: 9, done: map[uint64]bool{}, by: map[Place]int{}}
	l.pos = Position{At: l.snapshot()}
	l.saved = l.pos
	for range rapid.IntRange(5, 60).Draw(t, "steps") {
		switch do := rapid.IntRange(0, 9).Draw(t, "do"); {
		case do < 2 || len(l.running) == 0 && do < 6:
			l.begin()
		case do < 4:
			l.write(l.running[rapid.IntRange(0, len(l.running)-1).Draw(t, "writer")])
		case do < 6:
			l.end(rapid.IntRange(0, len(l.running)-1).Draw(t, "ended"))
		case do < 8:
			l.read(rapid.IntRange(1, 3).Draw(t, "limit"))
		case do < 9:
			l.save()
		default:
			l.crash()
		}
	}
	return l
}

// placed is a position as outbox.pages has it.
func placed(p Position) []string {
	if p.Target.Zero() {
		return []string{p.At.String(), "", "", ""}
	}
	return []string{p.At.String(), p.Target.String(), fmt.Sprint(p.After.Tx), fmt.Sprint(p.After.ID)}
}

// A row of the log was acknowledged by exactly the save that the lane had applied it before: whatever commits late, in
// the middle of deltas, when positions move without work, and after crashes. For keys of other lanes it was not.
func TestAcknowledgedBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.connect()
	rapid.Check(t, func(t *rapid.T) {
		l := lived(t)
		columns := make([][]string, 8)
		for _, s := range l.saves {
			for i, text := range append(placed(s.since), placed(s.position)...) {
				columns[i] = append(columns[i], text)
			}
		}
		var txs []string
		var ids []int64
		var want []string
		for _, r := range l.rows {
			txs, ids = append(txs, fmt.Sprint(r.Tx)), append(ids, r.ID)
			if n, applied := l.by[r]; applied {
				want = append(want, fmt.Sprintf("%d:%d", r.ID, n))
			}
		}
		args := []any{txs, ids}
		for _, c := range columns {
			args = append(args, texts(c))
		}
		var got, other string
		err := conn.QueryRow(w.Context(), `
with p as (
  select n, row(n, 'b', 0, 100, 200, 'me', 1, since, since_target, since_tx, since_id, position, target, after_tx, after_id,
                1, 1, 1, 1, 1, 0, 0, 0, '{}', '[]', now())::outbox.pages as page
    from (select n, a::pg_snapshot as since, nullif(b, '')::pg_snapshot as since_target, nullif(c, '')::xid8 as since_tx, nullif(d, '')::bigint as since_id,
                 e::pg_snapshot as position, nullif(f, '')::pg_snapshot as target, nullif(g, '')::xid8 as after_tx, nullif(h, '')::bigint as after_id
            from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[]) with ordinality u (a, b, c, d, e, f, g, h, n)) q),
r as (select * from unnest($1::text[], $2::bigint[]) u (tx, id))
select coalesce(string_agg(r.id || ':' || p.n - 1, ' ' order by r.id, p.n) filter (where outbox.acknowledged(r.tx::xid8, r.id, 100, p.page)), ''),
       coalesce(string_agg(r.id::text, ' ') filter (where outbox.acknowledged(r.tx::xid8, r.id, 200, p.page)), '')
  from r, p`, args...).Scan(&got, &other)
		if err != nil {
			t.Fatal(err)
		}
		if got != strings.Join(want, " ") || other != "" {
			t.Fatalf("acknowledged %q, want %q; for another lane's key %q\nsaves %v", got, strings.Join(want, " "), other, l.saves)
		}
	})
}
