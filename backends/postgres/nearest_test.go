package postgres

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
)

func vectors(tb testing.TB, settings map[string]any) *fixture {
	tb.Helper()
	settings["vector"] = "v"
	return newFixture(tb, backends.Target{
		Kind: "k", Name: "vectors", Columns: []backends.Column{{Name: "v", Type: "real[]"}, {Name: "name", Type: "text"}}, Settings: settings,
	})
}

// Nearest answers the most similar first, with the exact cosine, and passes over what has no direction,
// another length, or no vector.
func TestNearest(t *testing.T) {
	t.Parallel()
	f := vectors(t, map[string]any{})
	for key, v := range map[string][]float32{
		"same": {2, 0, 0}, "close": {1, 0.5, 0}, "across": {0, 1, 0}, "opposite": {-1, 0, 0},
		"zero": {0, 0, 0}, "short": {1, 0}, "empty": {},
	} {
		f.put(key, map[string]any{"name": key}, rawVector(v))
	}
	f.put("none", map[string]any{"name": "none"}, nil)
	f.put("gone", map[string]any{"name": "gone"}, rawVector([]float32{1, 0, 0}))
	f.write(backends.Record{Key: "gone", Version: 100, Deleted: true})
	got := f.strings("select format('%s %s %s', key, round(similarity::numeric, 4), body ->> 'name') from readmodel.nearest('vectors', '{3,0,0}')")
	want := []string{"same 1.0000 same", "close 0.8944 close", "across 0.0000 across", "opposite -1.0000 opposite"}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := f.strings("select key from readmodel.nearest('vectors', '{0,-1,0}', max => 1)"); fmt.Sprint(got) != "[opposite]" && fmt.Sprint(got) != "[same]" {
		t.Errorf("got %v", got)
	}
	if got := f.strings("select key from readmodel.nearest('vectors', (select vector from readmodel.vectors where key = 'short'))"); fmt.Sprint(got) != "[short]" {
		t.Errorf("got %v", got)
	}
}

// A question without a direction is refused.
func TestNearestRefuses(t *testing.T) {
	t.Parallel()
	f := vectors(t, map[string]any{})
	for _, v := range []string{"'{}'", "'{0,0}'", "null", "'{1,null}'", "'{NaN}'", "'{Infinity}'"} {
		if got := f.fails("select readmodel.nearest('vectors', " + v + ")"); !strings.Contains(got, "no direction") {
			t.Errorf("%s: %s", v, got)
		}
	}
}

// The first pass loses almost none of the true neighbours, of sparse vectors such as feature hashing makes
// and of dense ones.
func TestNearestRecall(t *testing.T) {
	t.Parallel()
	for name, draw := range map[string]func(*rand.Rand) []float32{"sparse": sparse, "dense": dense} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := vectors(t, map[string]any{"dimensions": 64})
			r := rand.New(rand.NewPCG(1, 2))
			var all [][]float32
			var batch []backends.Record
			for i := range 4000 {
				all = append(all, draw(r))
				batch = append(batch, record(1, fmt.Sprint(i), map[string]any{"name": ""}, rawVector(all[i])))
			}
			f.write(batch...)
			found, rows := 0, 20
			for range rows {
				q := draw(r)
				got := f.strings("select key from readmodel.nearest('vectors', $1, 10, 200)", q)
				for _, want := range nearest(all, q, 10) {
					if slices.Contains(got, want) {
						found++
					}
				}
			}
			if found < 10*rows*95/100 {
				t.Errorf("found %d of %d", found, 10*rows)
			}
		})
	}
}

func sparse(r *rand.Rand) []float32 {
	v := make([]float32, 64)
	for range 3 + r.IntN(12) {
		v[r.IntN(64)] += float32(1+r.IntN(3)) * float32(1-2*r.IntN(2))
	}
	return v
}

func dense(r *rand.Rand) []float32 {
	v := make([]float32, 64)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// nearest is the truth by brute force.
func nearest(all [][]float32, q []float32, n int) []string {
	similarity := make([]float64, len(all))
	order := make([]int, len(all))
	for i, v := range all {
		order[i] = i
		var dot, norm float64
		for j := range v {
			dot += float64(v[j]) * float64(q[j])
			norm += float64(v[j]) * float64(v[j])
		}
		similarity[i] = dot / math.Sqrt(norm)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(similarity[b], similarity[a]) })
	var keys []string
	for _, i := range order[:n] {
		keys = append(keys, fmt.Sprint(i))
	}
	return keys
}

// A vector that cannot be compared is refused for its record alone, and the answer says why.
func TestVectorRefused(t *testing.T) {
	t.Parallel()
	f := vectors(t, map[string]any{"dimensions": 2})
	good := rawVector([]float32{1, 2})
	for want, raw := range map[string][]byte{
		"it has 3 elements: want 2":    rawVector([]float32{1, 2, 3}),
		"it has 0 elements: want 2":    rawVector(nil),
		"element 2 is NaN":             rawVector([]float32{1, float32(math.NaN())}),
		"element 1 is -Inf":            rawVector([]float32{float32(math.Inf(-1)), 0}),
		"it is no array":               {1, 2, 3},
		"it is no real[]":              changed(good, 11, 25),
		"it has 2 dimensions":          changed(good, 3, 2),
		"it holds nulls":               changed(good, 7, 1),
		"its indexes do not begin":     changed(good, 19, 2),
		"it is no array of reals":      good[:len(good)-1],
		"it is no array of reals (no)": changed(good, 15, 3),
	} {
		results, err := f.Write(t.Context(), f.target, []backends.Record{
			record(1, "bad", map[string]any{"name": ""}, raw), record(1, "good", map[string]any{"name": ""}, good),
		})
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ = strings.Cut(want, " (no)")
		e := results[0].Err
		if results[0].Outcome != backends.Failed || e.Class != backends.Rejected || e.Key != "bad" || !strings.Contains(e.Error(), want) {
			t.Errorf("%s: %+v", want, e)
		}
		if results[1].Outcome != backends.Applied {
			t.Errorf("%s: the other record: %+v", want, results[1])
		}
	}
	if _, err := f.Write(t.Context(), f.target, []backends.Record{record(1, "bad", 0, []byte{})}); err != nil {
		t.Errorf("nothing but refused records: %v", err)
	}
}

func changed(b []byte, i int, v byte) []byte {
	b = slices.Clone(b)
	b[i] = v
	return b
}

// What the source's arrays may look like beyond that comes back as the digest has it, or is refused.
func TestVectorForms(t *testing.T) {
	t.Parallel()
	f := vectors(t, map[string]any{})
	for _, sql := range []string{
		"'{}'::real[]", "'{1}'::real[]", "'{1,2,-0}'::real[]", "'[0:1]={1,2}'::real[]", "'{{1,2},{3,4}}'::real[]", "'{1,null}'::real[]",
		"('{1,2,null}'::real[])[1:2]", "('{1,2,3}'::real[])[2:3]", "null::real[]", "array_fill(0.1::real, array[16000])",
	} {
		var raw []byte
		rows, err := f.admin.Query(t.Context(), "select "+sql, pgx.QueryResultFormats{pgx.BinaryFormatCode})
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			raw = slices.Clone(rows.RawValues()[0])
		}
		r := record(1, sql, map[string]any{"name": "x"}, raw)
		r.Doc = []byte(`{"name": "x"}`)
		r.Digest = backends.ContentDigest(r.Doc, r.Raw)
		results, err := f.Write(t.Context(), f.target, []backends.Record{r})
		if err != nil {
			t.Fatal(err)
		}
		if results[0].Outcome == backends.Failed {
			continue
		}
		if got, err := f.Lookup(t.Context(), f.target, []string{sql}); err != nil || len(got) != 1 || got[0].Digest != r.Digest {
			t.Errorf("%s: got %v, %v", sql, got, err)
		}
	}
}
