package outbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// fill logs rows in 20 transactions, of which every tenth row is for another backend.
func (w world) fill(rows int) {
	w.Helper()
	w.exec(fmt.Sprintf(`do $$ begin
 for i in 1..20 loop
  insert into outbox.log (kind, keys, backend) select 'k', array[i || '-' || g], case when g %% 10 = 0 then 'other' end from generate_series(1, %d) g;
  commit;
 end loop; end $$`, rows/20))
}

// blocks answers how many blocks a query touches.
func blocks(w world, c *pgx.Conn, sql string) int {
	w.Helper()
	_, err := c.Exec(w.Context(), sql) // plans, and reads the catalog for that
	w.ok(err)
	rows, err := c.Query(w.Context(), "explain (analyze, buffers, costs off, timing off, summary off) "+sql)
	w.ok(err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.ok(err)
	for _, line := range lines { // the first is that of the whole query
		if strings.Contains(line, "Buffers: shared") {
			return field(line, "hit=") + field(line, "read=")
		}
	}
	w.Fatalf("no buffers in\n%s", strings.Join(lines, "\n"))
	return 0
}

func field(line, name string) (n int) {
	if _, value, found := strings.Cut(line, name); found {
		_, _ = fmt.Sscanf(value, "%d", &n)
	}
	return n
}

// plans are the queries that readers wait for, with the blocks that each may touch.
type plans struct {
	world
	conn  *pgx.Conn // keeps its plans
	start string    // a position with a transaction running that has ended, in the middle of the log
}

// check fails unless pages and looks touch few blocks, wherever they begin.
func (p plans) check() {
	p.Helper()
	now, middle := p.text("select pg_current_snapshot()"), p.text("select tx from outbox.log order by tx, id offset (select count(*) from outbox.log) * 3 / 4 limit 1")
	for _, c := range []struct {
		what, sql string
		most      int
	}{
		{"a page at the begin", p.page(p.start, "null", "0", 0), 120},
		{"a page with a target, in the middle", p.page(p.start, "'"+now+"'", middle, 5), 120},
		{"a page at the present", p.page(now, "null", "0", 0), 20},
		{"a look at the present", fmt.Sprintf("select outbox.pending('%s', 'b')", now), 20},
		{"a look far behind", fmt.Sprintf("select outbox.pending('%s', 'b')", p.start), 20},
		{"supervision", lanesSQL, 20},
	} {
		if n := blocks(p.world, p.conn, c.sql); n > c.most {
			p.Errorf("%s touches %d blocks, want %d at most", c.what, n, c.most)
		}
	}
}

func (plans) page(position, target, tx string, id int) string {
	return fmt.Sprintf("select * from outbox.delta('%s', %s, '%s', %d, 1000, 'b')", position, target, tx, id)
}

// Reading a page costs as much as the page has rows, wherever it begins and whatever is applied already, and looking
// for work costs nothing. That holds for plans that were made while the log was empty, too.
func TestPagesAndLooksReadTheIndexOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("vacuum analyze outbox.log")
	p := plans{world: w, conn: w.connect(), start: w.text("select pg_current_snapshot()")}
	for range 10 { // after a few, plans are kept
		blocks(w, p.conn, p.page(p.start, "null", "0", 0))
		blocks(w, p.conn, fmt.Sprintf("select outbox.pending('%s', 'b')", p.start))
	}
	w.fill(10_000)
	open := w.begin()
	open.logs("late")
	p.start = w.text("select pg_current_snapshot()")
	w.addBackend("b", 1)
	w.fill(10_000)
	open.commit()
	p.check() // with the plans and the statistics of an empty log
	w.exec("vacuum analyze outbox.log")
	p.check()
}

// With a second lower bound an index scan starts at the weaker of the two, and walks over everything in between.
func TestB6OneLowerBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(10_000)
	w.exec("vacuum analyze outbox.log")
	def := w.text("select pg_get_functiondef('outbox.delta'::regproc)")
	p := plans{world: w, conn: w.connect()}
	sql := p.page(w.text("select pg_current_snapshot()"), "null", "0", 0)
	if n := blocks(w, p.conn, sql); n > 10 {
		t.Errorf("a page at the present touches %d blocks", n)
	}
	two := strings.Replace(def, "(tx, id) > (greatest($3, pg_snapshot_xmax($1)), case when $3 >= pg_snapshot_xmax($1) then $4 else 0 end)",
		"tx >= pg_snapshot_xmax($1) and (tx, id) > ($3, $4)", 1)
	w.exec(two)
	if n := blocks(w, p.conn, sql); two == def || n < 25 {
		t.Errorf("with two lower bounds it touches %d blocks only: this test proves nothing", n)
	}
}

// A plan that was switched off counts as so dear that PostgreSQL would compile the query, for a second, each time.
func TestNothingIsCompiled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want("", `select string_agg(proname, ' ') from pg_proc where pronamespace = 'outbox'::regnamespace
 and array_to_string(proconfig, ' ') like '%enable_%' and not 'jit=off' = any(proconfig)`)
	w.ok(ReadTx(t.Context(), w.pool, nil, func(c *pgx.Conn) error {
		if got := text(t, c, "select current_setting('jit')"); got != "off" {
			t.Errorf("in read transactions jit is %s", got)
		}
		return nil
	}))
}
