package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// in runs fn in a transaction that commits.
func (w world) in(fn func(tx pgx.Tx) error) {
	w.Helper()
	w.ok(pgx.BeginFunc(w.Context(), w.pool, fn))
}

// put puts records in a transaction of their own and answers what was logged.
func (w world) put(records ...Record) string {
	w.Helper()
	last := w.text(`select coalesce(max(id), 0) from outbox.log`)
	w.in(func(tx pgx.Tx) error { return Put(w.Context(), tx, records...) })
	return w.since(last)
}

// What was put is there, and only what changed is logged.
func TestPut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type doc struct {
		Title string `json:"title"`
		N     float64
	}
	check := func(got, want string) {
		t.Helper()
		if got := strings.Join(slices.Sorted(strings.FieldsSeq(got)), " "); got != want {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
	check(w.put(Record{Kind: "doc", Key: "b", Body: doc{"it's <b>", 1.5}, Embedding: []float32{0.1, -2e-30, 3.4028235e38}}, Record{Kind: "note", Key: "a"},
		Record{Kind: "doc", Key: "a", Body: json.RawMessage(`{"x": [1.0, "\u00e4\ud83d\ude00"]}`)}), "doc:a,b note:a")
	check(w.put(Record{Kind: "doc", Key: "a", Body: json.RawMessage(`{"x": [1.0, "ä😀"]}`)}), "")
	check(w.put(Record{Kind: "doc", Key: "a", Body: json.RawMessage(`{"x": [1.00, "ä😀"]}`)}, Record{Kind: "doc", Key: "c"}), "doc:a doc:c")
	check(w.put(Record{Kind: "note", Key: "a", Body: 7}), "note:a")
	check(w.put(), "")
	w.want(`{"N": 1.5, "title": "it's <b>"}`, `select body from outbox.records where kind = 'doc' and key = 'b'`)
	w.want("true", `select embedding = array[float4 '0.1', '-2e-30', '3.4028235e38'] from outbox.records where kind = 'doc' and key = 'b'`)
	w.want("true", `select body is null and embedding is null from outbox.records where kind = 'doc' and key = 'c'`)
	w.want("doc note", `select string_agg(kind, ' ' order by kind) from outbox.kinds where records`)
	w.want("a b c", `select string_agg(key, ' ' order by key) from (select key from outbox.records r where r.kind = 'doc') q`)
}

// Ten thousand records go in few round trips, and every float32 comes back as it was.
func TestPutMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var records []Record
	for i := range 10_000 {
		records = append(records, Record{Kind: "doc", Key: fmt.Sprint(i), Body: i, Embedding: []float32{math.Float32frombits(uint32(i) * 104729), float32(i)}})
	}
	for i := range records { // the pattern of bits may be no number
		if f := float64(records[i].Embedding[0]); math.IsNaN(f) || math.IsInf(f, 0) {
			records[i].Embedding[0] = 0
		}
	}
	var trips counter
	w.in(func(tx pgx.Tx) error { return Put(t.Context(), counted{tx, &trips}, records...) })
	if trips > 3 {
		t.Errorf("%d round trips", trips)
	}
	rows, err := w.pool.Query(t.Context(), `select key::int, embedding from outbox.records`)
	w.ok(err)
	var key int
	var embedding []float32
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&key, &embedding}, func() error {
		n++
		if diff := cmp.Diff(records[key].Embedding, embedding); diff != "" {
			return fmt.Errorf("record %d: %s", key, diff)
		}
		return nil
	})
	w.ok(err)
	if n != len(records) {
		t.Errorf("%d records", n)
	}
	w.want("10000", `select sum(cardinality(keys)) from outbox.log`)

	trips = 0
	keys := make([]string, 5000)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	w.in(func(tx pgx.Tx) error { return Delete(t.Context(), counted{tx, &trips}, "doc", keys...) })
	w.in(func(tx pgx.Tx) error { return Delete(t.Context(), tx, "doc", "absent") })
	w.want("5000 15000", `select (select count(*) from outbox.records) || ' ' || (select sum(cardinality(keys)) from outbox.log)`)
	if trips > 1 {
		t.Errorf("%d round trips to delete", trips)
	}
}

type counter int

// counted counts the round trips of a transaction.
type counted struct {
	pgx.Tx
	n *counter
}

func (c counted) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	*c.n++
	return c.Tx.SendBatch(ctx, b)
}

// Bodies that are large go in several batches.
func TestPutLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var trips counter
	body := strings.Repeat("large ", 1<<20)
	w.in(func(tx pgx.Tx) error {
		var records []Record
		for i := range 8 {
			records = append(records, Record{Kind: "doc", Key: fmt.Sprint(i), Body: body})
		}
		return Put(t.Context(), counted{tx, &trips}, records...)
	})
	w.want("8", `select count(*) from outbox.records where length(body #>> '{}') = 6 * 1048576`)
	if trips != 2 {
		t.Errorf("%d round trips, want 2", trips)
	}
}

type cyclic struct{ Next *cyclic }

// All that is wrong is said at once, with its place; nothing is sent, and the transaction goes on.
func TestPutRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	loop := &cyclic{}
	loop.Next = loop
	bad := "\xff"
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	w.in(func(tx pgx.Tx) error {
		w.ok(Put(t.Context(), tx, Record{Kind: "doc", Key: "before"}))
		err := Put(t.Context(), tx,
			Record{Kind: "", Key: ""}, Record{Kind: "Doc", Key: strings.Repeat("x", 2001)}, Record{Kind: "doc", Key: "a\x00b"}, Record{Kind: "doc", Key: bad},
			Record{Kind: "doc", Key: "nul", Body: "a\x00"}, Record{Kind: "doc", Key: "raw", Body: json.RawMessage(`{"a":"\ud800"}`)},
			Record{Kind: "doc", Key: "raw2", Body: json.RawMessage("\"\xff\"")}, Record{Kind: "doc", Key: "raw3", Body: json.RawMessage(`{`)},
			Record{Kind: "doc", Key: "utf8", Body: map[string]any{"list": []any{1, map[string]string{"deep": bad}}}}, Record{Kind: "doc", Key: "name", Body: map[string]int{bad: 1}},
			Record{Kind: "doc", Key: "chan", Body: make(chan int)}, Record{Kind: "doc", Key: "loop", Body: loop},
			Record{Kind: "doc", Key: "nan", Embedding: []float32{1, nan}}, Record{Kind: "doc", Key: "inf", Embedding: []float32{-inf}},
			Record{Kind: "doc", Key: "twice"}, Record{Kind: "note", Key: "twice"}, Record{Kind: "doc", Key: "twice"})
		want := `putting records: records[0].kind: it is empty
records[0].key: it is empty
records[1].kind: "Doc" is no name of a kind: small letters, digits and _, a letter first, at most 63
records[1].key: 2001 bytes, at most 2000 are allowed, in "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"...
records[2].key: "a\x00b" has a NUL character, which PostgreSQL does not store
records[3].key: "\xff" is no UTF-8
records[4].body: it has the escape \u0000, which PostgreSQL does not store
records[5].body: it has the escape \ud800, half of a surrogate pair
records[6].body: it is no UTF-8
records[7].body: json: error calling MarshalJSON for type json.RawMessage: unexpected end of JSON input
records[8].body: body.list[1].deep is no UTF-8
records[9].body: the name "�" in body is no UTF-8
records[10].body: json: unsupported type: chan int
records[11].body: json: unsupported value: encountered a cycle via *outbox.cyclic
records[12].embedding: number 1 is NaN
records[13].embedding: number 0 is -Inf
records[16].key: "twice" is that of records[14], too`
		if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		var in *InputError
		if !errors.As(err, &in) || in.Argument != "records" || in.Index != 0 || in.Field != "kind" {
			t.Errorf("the first problem is %+v", in)
		}
		return Put(t.Context(), tx, Record{Kind: "doc", Key: "after"})
	})
	w.want("after before", `select string_agg(key, ' ' order by key) from outbox.records`)
}

// A call with thousands of problems lists the first hundred.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	err := Changed(t.Context(), nil, "doc", make([]string, 1000)...)
	if got := fmt.Sprint(err); strings.Count(got, "\n") != 100 || !strings.HasSuffix(got, "and 900 more problems") {
		t.Errorf("got %d lines: %s", strings.Count(got, "\n")+1, got)
	}
}

// What PostgreSQL alone can tell is its error, and names the kind.
func TestPutWhatBelongsElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`create table t (id int primary key); select outbox.watch('t'), outbox.kind('listed', 'select ''x''::text as key')`)
	for _, kind := range []string{"t", "listed"} {
		err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error { return Put(t.Context(), tx, Record{Kind: kind, Key: "x"}) })
		if err == nil || !strings.Contains(err.Error(), "kind "+kind+" has its records elsewhere") {
			t.Errorf("%s: got %v", kind, err)
		}
	}
	err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error { return Changed(t.Context(), tx, "nobodys", "x") })
	if err == nil || !strings.Contains(err.Error(), "unknown kind 'nobodys'") {
		t.Errorf("got %v", err)
	}
}

// A connection that is gone is an error of each function.
func TestClosedTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx, err := w.pool.Begin(t.Context())
	w.ok(err)
	w.ok(tx.Rollback(t.Context()))
	_, tokenErr := Token(t.Context(), tx)
	for name, err := range map[string]error{
		"Put": Put(t.Context(), tx, Record{Kind: "doc", Key: "x"}), "Delete": Delete(t.Context(), tx, "doc", "x"), "Changed": Changed(t.Context(), tx, "doc", "x"),
		"ChangedAll": ChangedAll(t.Context(), tx, "doc"), "Token": tokenErr, "Watch": Watch(t.Context(), tx, Kind{Name: "doc"}), "Unwatch": Unwatch(t.Context(), tx, "t"),
	} {
		if !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// All of it works in the modes of pgx that poolers of connections need.
func TestQueryModes(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		w := newWorld(t)
		w.exec(`create table t (id int primary key)`)
		config := w.pool.Config().ConnConfig.Copy()
		config.DefaultQueryExecMode = mode
		conn, err := pgx.ConnectConfig(t.Context(), config)
		w.ok(err)
		w.ok(pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			return errors.Join(
				Watch(t.Context(), tx, Kind{Name: "t", Table: "t", Key: []string{"id"}}),
				Put(t.Context(), tx, Record{Kind: "doc", Key: "a", Body: "it's", Embedding: []float32{0.1}}, Record{Kind: "doc", Key: "b"}),
				Delete(t.Context(), tx, "doc", "b"), Changed(t.Context(), tx, "t", "1", "2"), ChangedAll(t.Context(), tx, "doc"))
		}))
		w.want(`"it's" {0.1}`, `select body::text || ' ' || embedding::text from outbox.records`)
		w.ok(conn.Close(t.Context()))
	}
}
