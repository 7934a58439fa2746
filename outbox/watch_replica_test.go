package outbox

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/outflow-db/outflow/internal/pgtest"
)

// subscribe makes a subscription of the table rep, from one database to another of the same server, until the end
// of the test.
func subscribe(from, to world) {
	to.Helper()
	if to.text(`select current_setting('wal_level')`) != "logical" {
		to.Skip("this server does not replicate logically")
	}
	name := "rep_" + from.pool.Config().ConnConfig.Database
	from.exec(`create publication pub for table rep`)
	// The slot comes first: the subscription would wait for its own transaction if it made it.
	from.exec(`select pg_create_logical_replication_slot('` + name + `', 'pgoutput')`)
	to.exec(fmt.Sprintf(`create subscription %s connection '%s' publication pub with (create_slot = false, slot_name = '%[1]s')`, name, pgtest.URL(to, from.pool)))
	to.Cleanup(func() { // drops the slot as well
		if _, err := to.pool.Exec(context.Background(), `drop subscription `+name); err != nil {
			to.Error(err)
		}
	})
}

// What logical replication applies fires row triggers only. A watch for each row sees it all; for the other form
// check_watches says what to do.
func TestLogicalReplication(t *testing.T) {
	t.Parallel()
	from, to := newWorld(t), newWorld(t)
	from.exec(`create table rep (id int primary key, v int); insert into rep values (1, 1), (2, 2)`)
	to.exec(`create table rep (id int primary key, v int); select outbox.watch('rep')`)
	subscribe(from, to)
	to.eventually(`select count(*) = 2 from rep`)
	to.want("rep:1,2", `select string_agg(kind || ':' || array_to_string(keys, ','), ' ') from outbox.log`) // the first copy fires them

	to.want("public.rep is the target of a subscription, which fires row triggers only", `select problem from outbox.check_watches()`)
	from.exec(`insert into rep values (3, 3)`)
	to.eventually(`select count(*) = 3 from rep`)
	to.want("1", `select count(*) from outbox.log`) // missed: so it is reported

	to.exec(to.text(`select advice from outbox.check_watches()`))
	to.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
	to.exec(`truncate outbox.log`)
	from.exec(`insert into rep values (4, 4); update rep set v = 9 where id = 1; update rep set id = 5 where id = 4; delete from rep where id = 2`)
	to.eventually(`select count(*) = 3 and sum(id) = 9 and sum(v) = 16 from rep`)
	to.want("4 1 4,5 2", `select string_agg(array_to_string(keys, ','), ' ' order by id) from outbox.log`)
	from.exec(`truncate rep`)
	to.eventually(`select count(*) = 0 from rep`)
	to.want("true", `select bool_or(headers @> '{"all":true}') from outbox.log`)
}

// A database that was dumped and restored goes on as it was: same watches, same triggers, nothing logged meanwhile.
func TestDumpAndRestore(t *testing.T) {
	t.Parallel()
	from, to := newWorld(t), world{TB: t, pool: pgtest.Empty(t)}
	dump, err := exec.LookPath(filepath.Join(pgtest.Server(t).Bin(), "pg_dump"))
	if err != nil {
		t.Skip("these binaries have no pg_dump")
	}
	from.exec(`create schema app; create table app.dropped (id int primary key); create table app.t (id int primary key, v int);
		create table app.p (id int primary key) partition by range (id); create table app.p1 partition of app.p for values from (0) to (10);
		create table app.r (id int primary key); select outbox.watch('app.dropped'), outbox.unwatch('app.dropped'), outbox.watch('app.t', 'thing'), outbox.watch('app.p'), outbox.watch('app.r', per_row => true);
		drop table app.dropped; select outbox.drop_kind('dropped'); insert into app.t values (1, 1); insert into outbox.records (kind, key) values ('note', 'x')`)
	restore := exec.CommandContext(t.Context(), "sh", "-c", `"$0" --no-comments "$1" | "$2" -X -q -v ON_ERROR_STOP=1 "$3"`,
		dump, pgtest.URL(t, from.pool), filepath.Join(filepath.Dir(dump), "psql"), pgtest.URL(t, to.pool))
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	to.want("2", `select count(*) from outbox.log`)
	to.want("", `select string_agg(problem, '; ') from outbox.check_watches()`)
	to.steps([]step{
		{"writes", `insert into app.t values (2, 2); insert into app.p1 values (3); insert into app.r values (4); insert into outbox.records (kind, key) values ('note', 'y')`, "thing:2 p:3 r:4 note:y"},
		{"replication role", `set session_replication_role = replica; insert into app.t values (5, 5); reset session_replication_role`, "thing:5"},
		{"watched again", `select outbox.watch('app.t')`, ""},
	})
}
