package outbox

import (
	"strconv"
	"strings"
	"testing"
)

// Writers notify only while the flag says that somebody sleeps, whatever they write.
func TestNotifyOnlySleepers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key, v int); create table r (id int primary key, v int); select outbox.watch('t'), outbox.watch('r', per_row => true);
		insert into outbox.records (kind, key) values ('note', 'x')`)
	listener := w.connect()
	_, err := listener.Exec(t.Context(), `listen outbox_wake`)
	w.ok(err)
	notified := func(sql string) string {
		w.exec(sql)
		w.exec(`select pg_notify('outbox_wake', 'probe')`)
		n, err := listener.WaitForNotification(t.Context())
		w.ok(err)
		if n.Payload == "probe" {
			return "no"
		}
		_, err = listener.WaitForNotification(t.Context()) // the probe
		w.ok(err)
		return "yes"
	}
	for i, write := range []string{
		`insert into t values ({i}, 1)`, `update t set v = v + 1`, `delete from t`, `truncate t`, `insert into t select {i} * 10000 + g from generate_series(1, 600) g`,
		`insert into r values ({i}, 1)`, `truncate r`, `insert into outbox.records (kind, key) values ('note', '{i}')`, `truncate outbox.records`,
		`select outbox.changed('t', '{{i}}')`, `select outbox.changed_all('t')`,
	} {
		for flag, want := range map[string]string{
			`0`: "no", `(extract(epoch from clock_timestamp()) * 1000)::bigint - 1000`: "no", `(extract(epoch from clock_timestamp()) * 1000)::bigint + 600000`: "yes",
		} {
			w.exec(`select setval('outbox.idle', 0); delete from t; delete from r; delete from outbox.records; insert into t values (0, 1)`)
			w.exec(`select setval('outbox.idle', ` + flag + `)`)
			if got := notified(strings.ReplaceAll(write, "{i}", strconv.Itoa(i+1))); got != want {
				t.Errorf("%s, flag %s: notified: %s, want %s", write, flag, got, want)
			}
		}
	}
	w.exec(`select setval('outbox.idle', 0); truncate t; insert into t values (1, 1)`)
	w.exec(`select setval('outbox.idle', (extract(epoch from clock_timestamp()) * 1000)::bigint + 600000)`)
	if got := notified(`update t set v = v; insert into t select 1, 1 where false; select outbox.changed('t', '{}')`); got != "no" {
		t.Error("nothing was logged, and yet somebody was notified")
	}
}

// The flag is read after the row of the log is in: who reads it earlier can be missed for good.
func TestFlagIsReadAfterTheRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key); create table r (id int primary key); select outbox.watch('t'), outbox.watch('r', per_row => true)`)
	for _, f := range []string{"watch_t", "watch_r", "log_records", "changed", "log_all"} {
		source := w.text(`select prosrc from pg_proc where proname = $1`, f)
		read := max(strings.LastIndex(source, "pg_sequence_last_value"), strings.LastIndex(source, "outbox.wake()"))
		if read < strings.LastIndex(source, "insert into outbox.log") {
			t.Errorf("%s reads the flag before it logs", f)
		}
	}
}
