package outbox

import (
	"strings"
	"testing"
)

// What a transaction sets as its headers stands in the log with every change of it, whichever way it came in, and
// with no change of another transaction.
func TestHeadersReachTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key); create table r (id int primary key); select outbox.watch('t'), outbox.watch('r', per_row => true)`)
	tx, err := w.pool.Begin(t.Context())
	w.ok(err)
	w.ok(SetHeaders(t.Context(), tx, map[string]string{"traceparent": "00-1", "all": "true"}))
	for _, sql := range []string{
		`insert into t values (1)`, `insert into r values (1)`, `insert into outbox.records (kind, key) values ('note', 'n')`,
		`select outbox.changed('t', '{7}')`, `select outbox.changed('t', '{8}', '{"traceparent": "00-2", "mine": 1}')`, `truncate t`,
	} {
		_, err := tx.Exec(t.Context(), sql)
		w.ok(err)
	}
	w.ok(tx.Commit(t.Context()))
	w.exec(`insert into t values (2)`)
	want := strings.Join([]string{
		`t {1} {"traceparent": "00-1"}`, `r {1} {"traceparent": "00-1"}`, `note {n} {"traceparent": "00-1"}`, `t {7} {"traceparent": "00-1"}`,
		`t {8} {"mine": 1, "traceparent": "00-2"}`, `t {} {"all": true, "traceparent": "00-1"}`, `t {2}`,
	}, ", ")
	w.want(want, `select string_agg(concat_ws(' ', kind, keys::text, headers::text), ', ' order by tx, id) from outbox.log`)
}

// Headers can be taken back within a transaction, and what is no JSON fails the write that would carry it.
func TestHeadersTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key); select outbox.watch('t')`)
	tx, err := w.pool.Begin(t.Context())
	w.ok(err)
	w.ok(SetHeaders(t.Context(), tx, map[string]string{"a": "b"}))
	w.ok(SetHeaders(t.Context(), tx, nil))
	_, err = tx.Exec(t.Context(), `insert into t values (1)`)
	w.ok(err)
	w.ok(tx.Commit(t.Context()))
	w.want("true", `select bool_and(headers is null) from outbox.log`)
	_, err = w.pool.Exec(t.Context(), `begin; set local outbox.headers = 'no json'; insert into t values (2)`)
	if err == nil || !strings.Contains(err.Error(), "invalid input syntax for type json") {
		t.Errorf("got %v, want an error about JSON", err)
	}
}
