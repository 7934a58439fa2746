package qdrant

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/internal/pgtest"
)

// raws are values of PostgreSQL as it sends them.
func raws(tb testing.TB, sql ...string) map[string][]byte {
	tb.Helper()
	pool, got := pgtest.Empty(tb), map[string][]byte{}
	for _, value := range sql {
		rows, err := pool.Query(tb.Context(), "select "+value, pgx.QueryResultFormats{pgx.BinaryFormatCode})
		if err != nil {
			tb.Fatal(err)
		}
		for rows.Next() {
			got[value] = slices.Clone(rows.RawValues()[0])
		}
		if rows.Err() != nil {
			tb.Fatalf("%s: %v", value, rows.Err())
		}
	}
	return got
}

// Arrays come from PostgreSQL's binary format, and what no store can compare is refused.
func TestArrays(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		rows int
		all  []float32
		says string // of the error
	}{
		"array[0.5, -0.25]::real[]":     {1, []float32{0.5, -0.25}, ""},
		"array[0.5, 0.1]::float8[]":     {1, []float32{0.5, 0.1}, ""},
		"'{}'::real[]":                  {1, []float32{}, ""},
		"'{{1,2},{3,4},{5,6}}'::real[]": {3, []float32{1, 2, 3, 4, 5, 6}, ""},
		"'[5:6]={1,2}'::real[]":         {1, []float32{1, 2}, ""},
		"'{1,NaN}'::real[]":             {0, nil, "element 2 is NaN"},
		"'{Infinity}'::real[]":          {0, nil, "element 1 is +Inf"},
		"array['-Infinity']::float8[]":  {0, nil, "-Inf"},
		"array[1e300]::float8[]":        {0, nil, "+Inf"},
		"'{1,null}'::real[]":            {0, nil, "null"},
		"'{{{1}}}'::real[]":             {0, nil, "3 dimensions"},
		"'{1}'::int[]":                  {0, nil, "no floating-point numbers"},
		"'{a}'::text[]":                 {0, nil, "no array of numbers"},
	}
	var sql []string
	for value := range cases {
		sql = append(sql, value)
	}
	for value, raw := range raws(t, sql...) {
		c := cases[value]
		m, err := readArray(raw)
		switch {
		case c.says != "":
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v, want %q", value, err, c.says)
			}
		case err != nil, m.rows != c.rows, !slices.Equal(m.all, c.all):
			t.Errorf("%s: got %v, %v", value, m, err)
		}
	}
}

// Sparse vectors come from two arrays.
func TestSparse(t *testing.T) {
	t.Parallel()
	v := raws(t, "'{7,3}'::int[]", "'{7,4294967295}'::bigint[]", "'{7,3}'::smallint[]", "'{7,7}'::int[]", "'{-1,3}'::int[]", "'{4294967296,1}'::bigint[]",
		"'{1}'::int[]", "'{1,2}'::real[]", "'{1,null}'::int[]", "'{1,NaN}'::real[]", "'{{1,2}}'::int[]", "'{}'::int[]", "'{}'::real[]")
	for indices, want := range map[string][]uint32{"'{7,3}'::int[]": {7, 3}, "'{7,4294967295}'::bigint[]": {7, math.MaxUint32}, "'{7,3}'::smallint[]": {7, 3}} {
		got, values, err := sparseOf(v[indices], v["'{1,2}'::real[]"])
		if err != nil || !slices.Equal(got, want) || !slices.Equal(values, []float32{1, 2}) {
			t.Errorf("%s: got %v, %v, %v", indices, got, values, err)
		}
	}
	if got, _, err := sparseOf(v["'{}'::int[]"], v["'{}'::real[]"]); err != nil || len(got) != 0 {
		t.Errorf("an empty one: %v, %v", got, err)
	}
	for _, bad := range []string{"'{7,7}'::int[]", "'{-1,3}'::int[]", "'{4294967296,1}'::bigint[]", "'{1}'::int[]", "'{1,null}'::int[]", "'{{1,2}}'::int[]", "'{1,2}'::real[]"} {
		if got, _, err := sparseOf(v[bad], v["'{1,2}'::real[]"]); err == nil {
			t.Errorf("%s became %v", bad, got)
		}
	}
	if _, _, err := sparseOf(v["'{7,3}'::int[]"], v["'{1,NaN}'::real[]"]); err == nil {
		t.Error("NaN was taken")
	}
}

// The types of pgvector come in its own formats.
func TestPgvector(t *testing.T) {
	t.Parallel()
	vector := []byte{0, 2, 0, 0, 0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0}
	if m, err := readVector(vector); err != nil || !slices.Equal(m.all, []float32{1, -2}) {
		t.Errorf("vector: %v, %v", m, err)
	}
	half := []byte{0, 5, 0, 0, 0x3c, 0, 0xc0, 0, 0, 1, 0x80, 1, 0x35, 0x55}
	if m, err := readHalfvec(half); err != nil || !slices.Equal(m.all, []float32{1, -2, 0x1p-24, -0x1p-24, 0.333251953125}) {
		t.Errorf("halfvec: %v, %v", m, err)
	}
	sparse := []byte{0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0x3f, 0x80, 0, 0}
	if at, values, err := sparsevecOf(sparse); err != nil || !slices.Equal(at, []uint32{7}) || !slices.Equal(values, []float32{1}) {
		t.Errorf("sparsevec: %v, %v, %v", at, values, err)
	}
	if m, err := readHalfvec([]byte{0, 1, 0, 0, 0x7c, 0}); err == nil {
		t.Errorf("an infinite half became %v", m)
	}
	for _, cut := range [][]byte{nil, vector[:11], half[:5], sparse[:15]} {
		_, err1 := readVector(cut)
		_, err2 := readHalfvec(cut)
		_, _, err3 := sparsevecOf(cut)
		if err1 == nil || err2 == nil || err3 == nil {
			t.Errorf("%v was taken: %v, %v, %v", cut, err1, err2, err3)
		}
	}
}

// Whatever the bytes, a reader refuses them or reads no more than there are.
func FuzzVectors(f *testing.F) {
	f.Add(reals(1, 2, 3))
	f.Add([]byte{0, 1, 0, 0, 0x3c, 0})
	f.Add(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 9), math.MaxUint32))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for name, read := range vectorTypes {
			if m, err := read(raw); err == nil && 2*len(m.all) > len(raw) {
				t.Errorf("%s: %d elements of %d bytes", name, len(m.all), len(raw))
			}
		}
		if at, values, err := sparsevecOf(raw); err == nil && len(at) != len(values) {
			t.Errorf("%d indices, %d values", len(at), len(values))
		}
		if at, values, err := sparseOf(raw, raw); err == nil && len(at) != len(values) {
			t.Errorf("%d indices, %d values", len(at), len(values))
		}
	})
}
