package nebula

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/nebulaserver"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// server starts a stand-in of the test's own.
func server(tb testing.TB, conf nebulaserver.Config) (*nebulaserver.Server, nebulatest.Server) {
	tb.Helper()
	s, err := nebulaserver.Start(conf)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s, nebulatest.Server{Addr: s.Addr(), User: "root", Password: "nebula"}
}

func text4(name string) backends.Column {
	return backends.Column{Name: name, Type: "text", Base: "text"}
}

// symbols is a target of vertices, calls one of edges whose key is [source, type, target].
func symbols() backends.Target {
	return backends.Target{Kind: "symbol", Name: "symbol", Columns: []backends.Column{text4("name"), {Name: "line", Type: "integer", Base: "integer"}}, Settings: dict{}}
}

func calls() backends.Target {
	return backends.Target{Kind: "relation", Name: "relation", Columns: []backends.Column{text4("via")}, Settings: dict{
		"edge":  dict{"source": 0, "target": 2},
		"types": dict{"column": 1, "names": []any{"calls", "uses"}},
	}}
}

func record(key string, version int64, doc string) backends.Record {
	return backends.Record{Key: key, Version: version, Doc: []byte(doc), Digest: backends.ContentDigest([]byte(doc), nil)}
}

func symbol(key string, version int64) backends.Record {
	return record(key, version, fmt.Sprintf(`{"name": "name of %s", "line": %d}`, key, version))
}

func call(from, typ, to string) backends.Record {
	return record(fmt.Sprintf(`["%s", "%s", "%s"]`, from, typ, to), 1, `{"via": "x"}`)
}

func gone(key string, version int64) backends.Record {
	return backends.Record{Key: key, Version: version, Deleted: true}
}

func (b *backend) mustPrepare(tb testing.TB, targets ...backends.Target) {
	tb.Helper()
	if err := b.Prepare(tb.Context(), targets); err != nil {
		tb.Fatal(err)
	}
}

func (b *backend) mustWrite(tb testing.TB, t backends.Target, records ...backends.Record) {
	tb.Helper()
	results, err := backends.WriteBisected(tb.Context(), b, t, records)
	if err != nil {
		tb.Fatal(err)
	}
	for i, r := range results {
		if r.Outcome != backends.Applied {
			tb.Errorf("%s: %v", records[i].Key, r.Err)
		}
	}
}

// all are the entries of a target, as "key version", in order.
func (b *backend) all(tb testing.TB, t backends.Target) []string {
	tb.Helper()
	var list []string
	err := b.Scan(tb.Context(), t, func(page []backends.Entry) error {
		for _, e := range page {
			list = append(list, fmt.Sprint(e.Key, " ", e.Version))
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// ask runs a statement in the backend's space and gives its rows as texts.
func (b *backend) ask(tb testing.TB, stmt string) []string {
	tb.Helper()
	data, err := b.pool.run(tb.Context(), inSpace, []byte(stmt))
	if err != nil {
		tb.Fatalf("%s: %v", stmt, err)
	}
	var rows []string
	for _, row := range values(data, 1) {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = shown(v)
		}
		rows = append(rows, strings.Join(cells, "|"))
	}
	slices.Sort(rows)
	return rows
}

func shown(v *nebula.Value) string {
	switch {
	case v.SVal != nil:
		return string(v.SVal)
	case v.IVal != nil:
		return fmt.Sprint(*v.IVal)
	case v.FVal != nil:
		return fmt.Sprint(*v.FVal)
	case v.BVal != nil:
		return strconv.FormatBool(*v.BVal)
	case v.DVal != nil:
		return fmt.Sprintf("%d-%d-%d", v.DVal.Year, v.DVal.Month, v.DVal.Day)
	case v.TVal != nil:
		return fmt.Sprintf("%d:%d:%d.%d", v.TVal.Hour, v.TVal.Minute, v.TVal.Sec, v.TVal.Microsec)
	case v.DtVal != nil:
		d := v.DtVal
		return fmt.Sprintf("%d-%d-%d %d:%d:%d.%d", d.Year, d.Month, d.Day, d.Hour, d.Minute, d.Sec, d.Microsec)
	case v.GgVal != nil:
		return "geography"
	}
	return "null"
}

// faulty is a backend on a stand-in that faults can be made in, with a target that is prepared.
func faulty(tb testing.TB, more dict) (*backend, *nebulaserver.Server, backends.Target) {
	tb.Helper()
	s, at := server(tb, nebulaserver.Config{})
	b := opened(tb, at, more)
	to := symbols()
	b.mustPrepare(tb, to)
	b.mustWrite(tb, to, symbol("a", 1))
	s.ClearExecuted()
	return b, s, to
}

// written are the statements that changed data.
func written(s *nebulaserver.Server) []string {
	var list []string
	for _, stmt := range s.Executed() {
		if strings.HasPrefix(stmt, "INSERT") || strings.HasPrefix(stmt, "DELETE") || strings.Contains(stmt, "| DELETE") {
			list = append(list, stmt)
		}
	}
	return list
}
